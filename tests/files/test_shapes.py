"""Rows of other tools are recognized by their fields, and refused in one line if they are not."""

from __future__ import annotations

import json

import pytest

from cohere_rerank.files import FileError, ReadOptions, read_rows
from cohere_rerank.files.rows import open_rows

QUERY, DOCUMENTS = "how to clean a kettle", ["Boil vinegar in it.", "Kettles are metal.", "Descale it with lemon."]
OTHER, OTHERS = "pasta for two", ["Boil the water.", "Rice for four."]


def rows_of(path, **options):
    """Return the rows of a file, and check that one sentence says how they are read."""
    reader = open_rows(path, ReadOptions(**options))
    reader.prepare()
    rows = [reader.parse(raw) for _, raw in reader]
    reader.close()
    return rows


def objects(texts, **more):
    return [{"docid": f"d{number}", "title": "", "text": text, **more} for number, text in enumerate(texts)]


def hits(texts):
    return {
        "took": 3,
        "hits": {"hits": [{"_id": f"d{n}", "_score": 1, "_source": {"body": text}} for n, text in enumerate(texts)]},
    }


LISTS = {
    "own": lambda q, d: {"query": q, "documents": d},
    "RAGAS 0.1": lambda q, d: {"question": q, "contexts": d, "answer": "a", "ground_truth": "g"},
    "RAGAS 0.2": lambda q, d: {"user_input": q, "retrieved_contexts": d, "response": "r"},
    "sentence-transformers": lambda q, d: {"anchor": q, "positive": d[0], "negative": d[1:]},
    "numbered negatives": lambda q, d: {
        "query": q,
        "positive": d[0],
        **{f"negative_{n}": text for n, text in enumerate(d[1:], 1)},
    },
    "FlagEmbedding": lambda q, d: {"query": q, "pos": d[:1], "neg": d[1:], "prompt": "p"},
    "MIRACL": lambda q, d: {
        "query_id": "7",
        "query": q,
        "positive_passages": objects(d[:1]),
        "negative_passages": objects(d[1:]),
    },
    "fine-tuning lists of Cohere": lambda q, d: {"query": q, "relevant_passages": d[:1], "hard_negatives": d[1:]},
    "rank_llm": lambda q, d: {
        "query": {"text": q, "qid": "7"},
        "candidates": [{"docid": "x", "score": 1.5, "doc": {"contents": text}} for text in d],
    },
    "batch request": lambda q, d: {
        "custom_id": "7",
        "method": "POST",
        "url": "/v1/rerank",
        "body": {"model": "other", "query": q, "documents": d},
    },
    "score request": lambda q, d: {"custom_id": "7", "body": {"model": "other", "text_1": q, "text_2": d}},
    "search replies": lambda q, d: {"query": q, **hits(d)},
    "LlamaIndex": lambda q, d: {
        "query": q,
        "source_nodes": [{"node": {"id_": "x", "text": t, "class_name": "TextNode"}, "score": 0.5} for t in d],
    },
    "LangChain": lambda q, d: {
        "input": q,
        "answer": "a",
        "context": [{"page_content": text, "metadata": {"id": "x"}} for text in d],
    },
    "Haystack": lambda q, d: {"query": q, "documents": [{"id": "x", "content": t, "meta": {}} for t in d]},
    "DPR": lambda q, d: {"question": q, "answers": ["a"], "ctxs": [{"id": "x", "title": "", "text": t} for t in d]},
}


@pytest.mark.parametrize("shape", LISTS)
def test_lists_of_other_tools_are_recognized(tmp_path, shape):
    """Each row has its query and its documents in their order: texts without ids, scores and blank titles."""
    path = tmp_path / "in.jsonl"
    lines = [LISTS[shape](QUERY, DOCUMENTS), LISTS[shape](OTHER, OTHERS)]
    path.write_text("\n".join(map(json.dumps, lines)))
    options = {"query_field": "input"} if shape == "LangChain" else {}
    from cohere_rerank._wire.framework_documents import unwrap

    found = [(row.query, [unwrap(each) for each in row.documents]) for row in rows_of(path, **options)]
    assert found == [(QUERY, DOCUMENTS), (OTHER, OTHERS)]
    (tmp_path / "in.json").write_text(json.dumps(lines, indent=2))
    assert [(row.query, len(row.documents)) for row in rows_of(tmp_path / "in.json", **options)] == [
        (QUERY, 3),
        (OTHER, 2),
    ]


def test_the_way_of_reading_is_one_sentence(tmp_path):
    """It names the shape and the fields. The own format needs none."""
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(LISTS["RAGAS 0.2"](QUERY, DOCUMENTS)))
    assert open_rows(path, ReadOptions()).notes == [
        f"{path}: read as RAGAS 0.2 (query: user_input, documents: retrieved_contexts)"
    ]
    path.write_text(json.dumps(LISTS["own"](QUERY, DOCUMENTS)))
    assert open_rows(path, ReadOptions()).notes == []


PAIRS = [("7", "d1", QUERY, "Boil it."), ("8", "d2", OTHER, "Rice."), ("7", "d3", QUERY, 'A "lemon".')]
GROUPED = [("7", QUERY, ["Boil it.", 'A "lemon".'], ["d1", "d3"]), ("8", OTHER, ["Rice."], ["d2"])]


@pytest.mark.parametrize("names", ["qid query docno text", "query_id question doc_id passage", "QID QUERY PID CONTENT"])
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv", "semicolons", "no header", "parquet"])
def test_pairs_are_grouped_by_query_in_the_order_of_first_appearance(tmp_path, names, form):
    """Pairs of a query need not follow one another."""
    columns = names.split()
    order = [0, 2, 1, 3] if columns[1].lower() != "pid" else [0, 1, 2, 3]
    rows = [dict(zip(columns, [pair[i] for i in order])) for pair in PAIRS]
    path = tmp_path / f"in.{form if '.' not in form else 'csv'}"
    if form in ("jsonl", "json"):
        path.write_text(json.dumps(rows) if form == "json" else "\n".join(map(json.dumps, rows)))
    elif form == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        import csv

        path = tmp_path / ("in.tsv" if form in ("tsv", "no header") else "in.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            if form == "no header":
                file.writelines("\t".join(pair) + "\r\n" for pair in PAIRS)
            else:
                writer = csv.DictWriter(file, columns, delimiter={"tsv": "\t", "semicolons": ";"}.get(form, ","))
                writer.writeheader()
                writer.writerows(rows)
    found = rows_of(path)
    assert [(row.id, row.query, row.documents, row.document_ids) for row in found] == GROUPED


def test_one_query_for_all_rows(tmp_path):
    """--query ranks documents that have no query."""
    (tmp_path / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": str(n), "text": t}) for n, t in enumerate("ab"))
    )
    (row,) = rows_of(tmp_path / "corpus.jsonl", query="tea")
    assert (row.query, row.documents, row.document_ids) == ("tea", ["a", "b"], ["0", "1"])
    (tmp_path / "replies.jsonl").write_text(json.dumps(hits(DOCUMENTS)) + "\n" + json.dumps(hits(OTHERS)))
    assert [row.query for row in rows_of(tmp_path / "replies.jsonl", query="tea")] == ["tea", "tea"]


def test_queries_are_joined_by_id_or_by_their_place(tmp_path):
    """Replies of a search engine have no query: the n-th reply gets the n-th line."""
    (tmp_path / "replies.jsonl").write_text(json.dumps(hits(DOCUMENTS)) + "\n" + json.dumps(hits(OTHERS)))
    (tmp_path / "queries.txt").write_text(f"{QUERY}\n{OTHER}\n")
    rows = rows_of(tmp_path / "replies.jsonl", queries=tmp_path / "queries.txt")
    assert [(row.query, row.document_ids) for row in rows] == [(QUERY, ["d0", "d1", "d2"]), (OTHER, ["d0", "d1"])]


CORPUS = {
    "corpus.jsonl": "".join(
        json.dumps({"_id": n, "title": "T" if n == "d2" else "", "text": n * 2}) + "\n"
        for n in ("d3", "d2", "d1", "d9")
    ),
    "corpus.tsv": "d3\td3 d3\nd2\tlong text here\nd1\td1 d1\n",
    "corpus.csv": "docno,text\nd1,d1d1\nd2,d2d2\nd3,d3d3\n",
}
RUN = "7 Q0 d1 1 9.5 bm25\n8 Q0 d2 1 9.5 bm25\n7 Q0 d3 2 8.5 bm25\n"


@pytest.mark.parametrize("corpus", CORPUS)
@pytest.mark.parametrize("queries", ["queries.jsonl", "queries.tsv"])
@pytest.mark.parametrize("run", ["run.trec", "run.txt", "run.tsv", "frame.csv"])
def test_a_run_is_joined_with_a_corpus_and_queries(tmp_path, corpus, queries, run):
    """In the forms of TREC, BEIR and PyTerrier. Only the documents of the run are kept."""
    (tmp_path / corpus).write_text(CORPUS[corpus])
    texts = {"queries.jsonl": json.dumps({"_id": "7", "text": QUERY}) + "\n" + json.dumps({"_id": "8", "text": OTHER})}
    (tmp_path / queries).write_text(texts.get(queries, f"8\t{OTHER}\n7\t{QUERY}\n"))
    text = RUN if run != "frame.csv" else "qid,docno,score\n7,d1,9\n8,d2,9\n7,d3,8\n"
    (tmp_path / run).write_text(text.replace(" ", "\t") if run == "run.tsv" else text)
    rows = rows_of(tmp_path / run, corpus=tmp_path / corpus, queries=tmp_path / queries)
    assert [(row.id, row.query, row.document_ids) for row in rows] == [("7", QUERY, ["d1", "d3"]), ("8", OTHER, ["d2"])]
    assert (
        rows[1].documents
        == {"corpus.jsonl": [{"title": "T", "text": "d2d2"}], "corpus.tsv": ["long text here"], "corpus.csv": ["d2d2"]}[
            corpus
        ]
    )
    assert len(rows[0].documents) == 2


def test_a_run_without_its_texts_names_the_options(tmp_path):
    """Nothing is guessed. A corpus of another collection, a missing document and a missing query are named."""
    (tmp_path / "run.trec").write_text(RUN)
    with pytest.raises(FileError, match=r"no texts: add --corpus FILE and --queries FILE"):
        rows_of(tmp_path / "run.trec")
    (tmp_path / "q.tsv").write_text(f"7\t{QUERY}\n")
    (tmp_path / "c.csv").write_text("docno,text\nx1,d1d1\n")
    with pytest.raises(FileError, match="none of the 3 documents of the run is in it, such as 'd1'"):
        rows_of(tmp_path / "run.trec", corpus=tmp_path / "c.csv", queries=tmp_path / "q.tsv")
    (tmp_path / "c.csv").write_text("docno,text\nd1,d1d1\nd2,t\n")
    reader = open_rows(tmp_path / "run.trec", ReadOptions(corpus=tmp_path / "c.csv", queries=tmp_path / "q.tsv"))
    reader.prepare()
    for (_, raw), message in zip(reader, ["the document 'd3' of the query '7' is not in", "the query '8' is not in"]):
        with pytest.raises(ValueError, match=message):
            reader.parse(raw)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"frage": "q", "texte": ["a"]},
            "the row has frage, texte; a query and documents are missing: add --query-field",
        ),
        ({"query": "q", "texte": ["a"]}, "the row has query, texte; documents are missing: add --documents-field"),
        ({"_id": "1", "text": "a"}, "the row has _id, text; a query is missing: add --query-field NAME, --query TEXT"),
        (
            {"query-id": "1", "corpus-id": "2", "score": 1},
            "a run has ids .query-id, corpus-id. and no texts: add --corpus",
        ),
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_a_wrong_shape_is_refused_once(tmp_path, record, message, form):
    """The message has the names that are there, what is missing, and the option."""
    path = tmp_path / f"in.{form}"
    if form == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.Table.from_pylist([record] * 3), path)
    else:
        path.write_text("\n".join([json.dumps(record)] * 3))
    with pytest.raises(FileError, match=message) as refused:
        open_rows(path, ReadOptions())
    assert "\n" not in str(refused.value)


def test_the_user_can_name_the_fields(tmp_path):
    """Names and dotted paths. Ids and kept fields too."""
    path = tmp_path / "in.jsonl"
    record = {"frage": {"text": "q"}, "nr": 2.0, "treffer": [{"inhalt": {"text": "a"}, "nr": 5}], "quelle": "wiki"}
    path.write_text(json.dumps(record))
    (row,) = rows_of(
        path,
        query_field="frage.text",
        documents_field="treffer",
        text_field="inhalt.text",
        id_field="nr",
        document_id_field="nr",
        keep=["quelle"],
    )
    assert (row.id, row.query, row.documents, row.document_ids) == (2, "q", ["a"], [5])
    assert row.kept == {"quelle": "wiki"}


def test_ids_of_any_type_are_texts_or_numbers(tmp_path):
    """Whole floats are whole numbers. Bytes, UUIDs, dates and decimal numbers are texts."""
    pyarrow = pytest.importorskip("pyarrow")
    import datetime
    import decimal

    import pyarrow.parquet as parquet

    values = [2.0, b"ab", datetime.date(2026, 1, 2), decimal.Decimal("7.00"), datetime.datetime(2026, 1, 2, 3, 4)]  # noqa: DTZ001
    found = []
    for number, value in enumerate(values):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(pyarrow.Table.from_pylist([{"id": value, "query": "q", "documents": ["a"]}]), path)
        found += [row.id for row in rows_of(path)]
    assert found == [2, "ab", "2026-01-02", 7, "2026-01-02T03:04:00"]


@pytest.mark.parametrize("value", [2.5, True, ["x"], {"a": 1}, float("nan")])
def test_an_invalid_id_is_refused_in_true_words(tmp_path, value):
    """The message has the type of the value."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    path = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{"id": value, "query": "q", "documents": ["a"]}]), path)
    wanted = {"float": f"the number {value}", "bool": "a boolean", "list": "a list", "dict": "an object"}
    with pytest.raises(ValueError, match=f"id must be a string or a whole number, got {wanted[type(value).__name__]}"):
        rows_of(path)


@pytest.mark.parametrize(
    ("cell", "documents"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"it's\"]", ["a", "it's"]),
        ("('a', 'b')", ["a", "b"]),
        ('[{"text": "a"}]', [{"text": "a"}]),
    ],
)
def test_a_cell_holds_a_list_as_json_or_as_python_wrote_it(tmp_path, cell, documents):
    """pandas writes lists as Python text."""
    import csv

    path = tmp_path / "in.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["query", "documents"], ["q", cell]])
    (row,) = rows_of(path)
    assert row.documents == documents


@pytest.mark.parametrize(
    ("cell", "message"),
    [("['a' 'b']", "a list without commas, as numpy prints it"), ("[open('x')]", "must be JSON"), ("[" * 500, "JSON")],
)
def test_a_cell_that_is_not_a_list_is_refused(tmp_path, cell, message):
    """Python would join texts without a comma. Nothing is executed."""
    import csv

    path = tmp_path / "in.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["query", "documents"], ["q", cell]])
    with pytest.raises(ValueError, match=message):
        rows_of(path)


def test_several_files_and_folders_are_one_input(tmp_path):
    """Part files of Spark are read in the order of their names. Files that start with _ or a point are left out."""
    folder = tmp_path / "out"
    folder.mkdir()
    for number in (1, 0):
        (folder / f"part-0000{number}").write_text(f'{{"query": "q{number}", "documents": ["a"]}}\n')
    (folder / "_SUCCESS").write_text("")
    (folder / ".part-00000.crc").write_bytes(b"\0")
    (tmp_path / "more.csv").write_text('query,documents\nq2,"[""a""]"\n')
    rows = list(read_rows([folder, tmp_path / "more.csv"]))
    assert rows == [{"id": number + 1, "query": f"q{number}", "documents": ["a"]} for number in range(3)]


def test_a_broken_pair_refuses_the_input(tmp_path):
    """The message names its line. A query with two texts is refused too."""
    path = tmp_path / "in.jsonl"
    good = '{"qid": 1, "query": "q", "text": "a"}\n'
    for bad, message in (
        ("{", "line 2: not JSON"),
        (good.replace('"q"', '"r"'), "line 2: the query with the id 1 has"),
    ):
        path.write_text(good + bad)
        with pytest.raises(FileError, match=message):
            rows_of(path)


def test_columns_can_be_named(tmp_path):
    """--columns gives names to a table that has none. --has-header reads a first line of numbers as names."""
    path = tmp_path / "in.csv"
    path.write_text("a tea,7,green tea\n")
    (row,) = rows_of(path, columns=["query", "pid", "text"])
    assert (row.query, row.documents, row.document_ids) == ("a tea", ["green tea"], ["7"])
    with pytest.raises(FileError, match="--columns has 2 names, but the first line has 3 cells"):
        rows_of(path, columns=["query", "text"])


@pytest.mark.parametrize("name", ["responses", "data", "rows"])
def test_rows_inside_of_one_object_are_read(tmp_path, name):
    """A reply to several searches has one list of replies."""
    path = tmp_path / "in.json"
    rows = [hits(DOCUMENTS), hits(OTHERS)] if name == "responses" else [LISTS["RAGAS 0.1"](QUERY, DOCUMENTS)] * 2
    path.write_text(json.dumps({"took": 1, name: rows}, indent=1))
    assert len(next(iter(rows_of(path, query="q" if name == "responses" else None))).documents) == 3


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        ([{"page_content": "one", "metadata": {}}, {"page_content": "two", "metadata": {}}], ["one", "two"]),
        ([{"node": {"id_": "n", "text": "one", "class_name": "TextNode"}, "score": 0.5}], ["one"]),
        ([{"lc": 1, "id": ["langchain", "Document"], "kwargs": {"page_content": "one", "metadata": {}}}], ["one"]),
        ({"documents": [{"id": "x", "content": "one", "meta": {}, "score": 1}]}, ["one"]),
        ({"matches": [{"id": "1", "score": 0.1, "metadata": {"text": "one"}}]}, ["one"]),
        ({"results": [{"id": "1", "score": 0.1, "payload": {"text": "one"}}]}, ["one"]),
    ],
    ids=["LangChain", "LlamaIndex", "LangChain's own", "Haystack", "Pinecone", "Qdrant"],
)
def test_dumps_without_a_query_are_ranked_by_one(tmp_path, content, documents):
    """--query is the query of all documents."""
    path = tmp_path / "in.json"
    path.write_text(json.dumps(content))
    (row,) = rows_of(path, query="q")
    assert (row.query, row.documents) == ("q", documents)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.json", '{"question": ["q", "r"], "contexts": [["a"], ["b"]]}', "columns, and not a row"),
        ("in.json", '{"query": {"0": "q"}, "documents": {"0": ["a"]}}', "columns, and not a row"),
        ("in.json", '{"retriever": {"documents": []}}', "add --query-field .*, such as retriever.documents"),
        ("in.csv", "title,price\n", "line 1: the row has title, price; a query and documents are missing"),
        ("in.jsonl", '{"query": "q", "query": "r", "documents": ["a"]}', "line 1: the field query is there twice"),
        ("in.jsonl", '{"query": "qu\u00e9", "documents": ["a"]}', "line 1: not UTF-8: .* add --encoding cp1252"),
        ("in.jsonl", '{"query": "q", "documents": ["a"]} {}', "line 1: not JSON: .* add --format json"),
        ("in.csv", "query,text\nqu\u00e9,a\n", "row 1: query is not UTF-8; .* add --encoding cp1252"),
    ],
)
def test_files_that_cannot_be_right_are_refused(tmp_path, name, content, message):
    """In one line, before the first row."""
    (tmp_path / name).write_bytes(content.encode("cp1252"))
    with pytest.raises(FileError, match=message) as refused:
        open_rows(tmp_path / name, ReadOptions())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "documents"),
    [
        ("in.csv", "sep=;\r\nquery;text\r\nq;a\r\n", ["a"]),
        (
            "in.tsv",
            "what is tea today\tgreen tea is nice\tcoffee is not tea\n",
            ["green tea is nice", "coffee is not tea"],
        ),
        ("in.tsv", "what is tea\tgreen tea is nice\nwhat is tea\tblack one\n", ["green tea is nice", "black one"]),
        ("in.txt", 'query\ttext\nq\t"a" is b\n', ['"a" is b']),
        ("in.csv", 'query,text\nq,"a\nb, c"\n', ["a\nb, c"]),
        ("in.csv", ",qid,query,docno,rank,score,text\n0,1,q,d,0,1.5,a\n", ["a"]),
    ],
)
def test_tables_of_other_programs_are_read(tmp_path, name, content, documents):
    """Excel, MS MARCO triples, tabs with quotes as they are, and pandas with an index."""
    (tmp_path / name).write_bytes(content.encode())
    (row,) = rows_of(tmp_path / name)
    assert row.documents == documents


def test_a_missing_text_concerns_only_its_query(tmp_path):
    """The other queries of a file of pairs are read."""
    path = tmp_path / "in.jsonl"
    rows = [(1, "q", "a"), (1, "q", None), (2, "r", "b")]
    path.write_text("".join(json.dumps(dict(zip(("qid", "query", "text"), row))) + "\n" for row in rows))
    assert [row.documents for row in rows_of(path)] == [["a", None], ["b"]]
