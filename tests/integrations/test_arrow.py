"""RerankBatch with Arrow tables, as Ray, Spark, Dask and Daft call it."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from cohere_rerank import InvalidRequestError, UnauthorizedError
from cohere_rerank.integrations.arrow import RerankBatch

pa = pytest.importorskip("pyarrow", reason="needs pyarrow")

LOCAL = {"base_url": "local:"}
ROWS = {
    "id": [1, 2, 3],
    "query": ["red apple", None, "blue car"],
    "documents": [["a car", "a red apple"], ["x"], ["a blue car", "a pear"]],
}


@pytest.fixture
def make_batch():
    made = []

    def make(**options):
        made.append(RerankBatch(**{"model": "m", "client": LOCAL, **options}))
        return made[-1]

    yield make
    for batch in made:
        batch.close()


def test_a_table_keeps_its_rows_and_gains_two_columns(make_batch):
    """The columns results and error have fixed types, and the given table does not change."""
    table = pa.table(ROWS)
    ranked = make_batch()(table)
    assert ranked.column_names == ["id", "query", "documents", "results", "error"]
    assert ranked.column("id").to_pylist() == [1, 2, 3]
    result = pa.struct([("index", pa.int32()), ("relevance_score", pa.float32())])
    assert ranked.schema.field("results").type == pa.list_(result)
    firsts = [results and results[0]["index"] for results in ranked.column("results").to_pylist()]
    assert firsts == [1, None, 0]
    assert table.column_names == ["id", "query", "documents"]


def test_a_row_that_fails_says_why_and_fails_alone(make_batch):
    """The other rows have no error."""
    errors = make_batch()(pa.table(ROWS)).column("error").to_pylist()
    assert (errors[0], errors[2]) == (None, None)
    assert "no query" in errors[1]


def test_structs_are_sent_as_yaml(server, make_batch):
    """A struct is a structured document."""
    batch = make_batch(client={"base_url": server.url, "api_key": lambda: "k"})
    struct = pa.struct([("title", pa.string()), ("text", pa.string())])  # pyarrow before 15 would sort the names
    documents = pa.array([[{"title": "T", "text": "x"}]], pa.list_(struct))
    table = pa.table({"query": ["q"], "documents": documents})
    batch(table)
    assert server.requests[0].json["documents"] == ["title: T\ntext: x\n"]


def test_further_arguments_and_other_columns_are_used(make_batch):
    """The names of the columns and further arguments of rerank can be set."""
    table = pa.table({"q": ["red apple"], "texts": [["a car", "a red apple"]]})
    ranked = make_batch(query="q", documents="texts", arguments={"top_n": 1})(table)
    assert [len(results) for results in ranked.column("results").to_pylist()] == [1]


def test_a_refused_key_stops_the_job(server, make_batch):
    """An error that would affect every row is raised."""
    server.keys = {"other"}
    batch = make_batch(client={"base_url": server.url, "api_key": lambda: "wrong-key"})
    with pytest.raises(UnauthorizedError):
        batch(pa.table({"query": ["q"], "documents": [["d"]]}))


def test_a_used_batch_pickles_and_contains_no_key(make_batch):
    """A key given as a string is refused."""
    batch = make_batch()
    batch(pa.table(ROWS))
    again = pickle.loads(pickle.dumps(batch))
    assert again(pa.table(ROWS)).column("error").to_pylist()[0] is None
    again.close()
    with pytest.raises(InvalidRequestError, match="api_key"):
        RerankBatch(model="m", client={"api_key": "secret-key"})
    for settings, name in (
        ({"api_key": ["secret-key", lambda: "k"]}, "api_key"),
        ({"headers": {"api-key": "secret-key"}}, "api-key"),
        ({"proxy": "http://me:secret-key@127.0.0.1:9"}, "proxy="),
    ):
        with pytest.raises(InvalidRequestError, match=name) as caught:
            RerankBatch(model="m", client=settings)
        assert "secret-key" not in str(caught.value)


def test_a_closed_batch_opens_again(make_batch):
    """Closing twice does nothing."""
    batch = make_batch()
    batch(pa.table(ROWS))
    batch.close()
    batch.close()
    assert batch(pa.table(ROWS)).num_rows == 3


def test_spark_gets_one_batch_for_each_batch(make_batch):
    """map_in_arrow yields batches with both columns."""
    batches = list(make_batch().map_in_arrow(iter(pa.table(ROWS).to_batches() * 2)))
    assert sum(batch.num_rows for batch in batches) == 6
    assert batches[0].schema.names[-2:] == ["results", "error"]


def test_daft_gets_one_row_at_a_time(make_batch):
    """A row that fails returns its error."""
    batch = make_batch()

    async def rows():
        return await asyncio.gather(batch.row("red apple", ["a car", "a red apple"]), batch.row("", ["x"]))

    good, bad = asyncio.run(rows())
    assert (good["results"][0]["index"], good["error"]) == (1, None)
    assert bad["results"] is None and "query" in bad["error"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"query": ["q"]}, "no column 'documents'"),
        ({"query": ["q"], "documents": [["d"]], "error": ["x"]}, "already has a column 'error'"),
    ],
)
def test_a_table_with_wrong_columns_is_refused(make_batch, table, message):
    """The error names the column."""
    with pytest.raises(InvalidRequestError, match=message):
        make_batch()(pa.table(table))


def test_an_empty_table_stays_empty_and_typed(make_batch):
    """An empty table gets both columns too."""
    table = pa.table({"query": pa.array([], pa.string()), "documents": pa.array([], pa.list_(pa.string()))})
    assert make_batch()(table).column_names == ["query", "documents", "results", "error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arguments": {"top_k": 1}}, "takes no 'top_k'"),
        ({"arguments": {"top_n": 0}}, "top_n"),
        ({"arguments": {"relevant_spans": {"mode": "enabled"}}}, "relevant_spans"),
        ({"client": {"fallback": "local"}}, "fallback"),
        ({"client": {"base_url": "nowhere"}}, "base_url"),
        ({"client": {"limitt": 1}}, "limitt"),
        ({"model": None}, "model"),
    ],
)
def test_wrong_settings_are_found_before_a_cluster_starts(make_batch, options, message):
    """They are errors of the constructor."""
    with pytest.raises((InvalidRequestError, TypeError), match=message):
        make_batch(**options)
