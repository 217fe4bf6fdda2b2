"""Results of vector stores and databases are documents as they are: made by the real clients, without a server."""

from __future__ import annotations

import json

import pytest

from tests import environments
from tests.compat import versions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not versions.SUPPORTED, reason=versions.REASON),
]

PACKAGES = ("elasticsearch", "opensearch-py", "qdrant-client", "weaviate-client", "pyvespa", "pgvector", "sqlalchemy")

SENT = ["title: tea\nbody: green tea\n"]

PROGRAM = """
import json, uuid, warnings
from cohere_rerank._wire.documents import to_texts
from cohere_rerank.errors import InvalidRequestError

texts = {}
VECTOR = [0.25] * 64
FIELDS = {"title": "tea", "body": "green tea"}
ES = {"hits": {"hits": [{"_index": "i", "_id": "1", "_score": 1.0, "_source": {**FIELDS, "embedding": VECTOR}}]}}

def send(name, documents, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            texts[name] = to_texts(documents, **options)[1]
        except InvalidRequestError as error:
            texts[name] = str(error)
    if any("embedding" in str(warning.message) for warning in caught):
        texts[name] = "warned of the vector"

from elastic_transport import ObjectApiResponse
from elasticsearch import dsl
response = ObjectApiResponse(body=ES, meta=None)
send("elasticsearch", response["hits"]["hits"])
send("elasticsearch, fields", [{"_index": "i", "_id": "1", "_score": 1.0, "fields": FIELDS}])
send("elasticsearch.dsl", dsl.response.Response(dsl.Search(), ES))
send("elasticsearch, whole", response)

import opensearchpy.helpers.response
send("opensearch", ES["hits"]["hits"])
send("opensearch helpers", opensearchpy.helpers.response.Response(opensearchpy.Search(), ES))

from qdrant_client import QdrantClient, models
store = QdrantClient(":memory:")
store.create_collection("c", vectors_config=models.VectorParams(size=64, distance=models.Distance.COSINE))
store.upsert("c", points=[models.PointStruct(id=1, vector=VECTOR, payload=FIELDS)])
found = store.query_points("c", query=VECTOR, with_vectors=True)
send("qdrant", found.points)
send("qdrant, whole", found)
send("qdrant scroll", store.scroll("c", with_vectors=True)[0])
send("qdrant groups", store.query_points_groups("c", query=VECTOR, group_by="title", with_vectors=True).groups[0].hits)

from weaviate.collections.classes import internal
thing = internal.Object(uuid=uuid.uuid4(), metadata=internal.MetadataReturn(distance=0.1), properties=FIELDS,
                        references=None, vector={"default": VECTOR}, collection="C")
send("weaviate", internal.QueryReturn(objects=[thing]).objects)
send("weaviate, whole", internal.QueryReturn(objects=[thing]))

from vespa.io import VespaQueryResponse
tensor = {"type": "tensor<float>(x[64])", "values": VECTOR}
added = {"sddocname": "doc", "documentid": "id:doc:doc::1", "matchfeatures": {"bm25": 1.0}, "embedding": tensor}
hit = {"id": "id:doc:doc::1", "relevance": 0.5, "source": "s", "fields": {**FIELDS, **added}}
found = VespaQueryResponse({"root": {"id": "top", "children": [hit]}}, 200, "url", {})
send("vespa", found.hits)
send("vespa, whole", found)

import collections, pgvector, pgvector.sqlalchemy, sqlalchemy as sa
from sqlalchemy.orm import Session, declarative_base
Base = declarative_base()
class Item(Base):
    __tablename__ = "items"
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.String)
    body = sa.Column(sa.String)
    embedding = sa.Column(pgvector.sqlalchemy.Vector(64))
engine = sa.create_engine("sqlite://")
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add(Item(id=1, embedding=VECTOR, **FIELDS))
    session.commit()
    chosen = {"rank_fields": ["title", "body"]}
    send("pgvector objects", session.scalars(sa.select(Item)), **chosen)
    send("pgvector rows", session.execute(sa.select(Item.title, Item.body, Item.embedding)), **chosen)
    send("pgvector rows, all fields", session.execute(sa.select(Item.title, Item.body, Item.embedding)))
    with_score = sa.select(Item, sa.literal(0.3).label("distance"))
    send("pgvector objects with a score", session.execute(with_score), text="Item.body")
    send("pgvector objects with a score, all", session.execute(with_score))
Row = collections.namedtuple("Row", ["title", "body", "embedding"])  # as psycopg.rows.namedtuple_row makes it
send("psycopg rows", [Row(*FIELDS.values(), pgvector.Vector(VECTOR))], **chosen)
print(json.dumps(texts))
"""


# What is sent for each result, or a part of the message or warning.
EXPECTED = {
    "elasticsearch": SENT,
    "elasticsearch, fields": SENT,
    "elasticsearch.dsl": SENT,
    "elasticsearch, whole": "pass documents['hits']['hits']",
    "opensearch": SENT,
    "opensearch helpers": SENT,
    "qdrant": SENT,
    "qdrant scroll": SENT,
    "qdrant groups": SENT,
    "qdrant, whole": "pass documents.points",
    "weaviate": SENT,
    "weaviate, whole": "pass documents.objects",
    "vespa": SENT,
    "vespa, whole": "pass documents.hits",
    "pgvector objects": SENT,
    "pgvector rows": SENT,
    "pgvector rows, all fields": "warned of the vector",
    "pgvector objects with a score": ["green tea"],
    "pgvector objects with a score, all": "rank_fields= or text=",
    "psycopg rows": SENT,
}


def test_results_of_real_clients_are_documents():
    """The fields of a hit are sent without ids and vectors; a whole response is refused with the way to its hits."""
    environment = environments.get(*versions.pinned(PACKAGES))
    texts = json.loads(environment.run_code(PROGRAM).splitlines()[-1])
    assert texts.keys() == EXPECTED.keys()
    assert {name: text for name, text in texts.items() if not is_expected(text, EXPECTED[name])} == {}
    versions.check(environment, PACKAGES)


def is_expected(text, expected):
    """Equal lists of texts, or a part of a message."""
    return expected in text if isinstance(expected, str) else text == expected
