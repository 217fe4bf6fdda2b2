"""Documents become texts: what is accepted, in which form, and which errors name the rest."""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import json
import re
import subprocess
import sys
import textwrap
import types
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, NamedTuple, TypedDict

import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import cohere_rerank
from cohere_rerank._wire.documents import to_texts, to_yaml
from cohere_rerank.errors import CohereRerankError, InvalidRequestError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_HOME = str(Path(cohere_rerank.__file__).resolve().parent.parent)  # the checkout, or site-packages


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    __slots__ = ()

    def __str__(self):
        return "not this"


class Point(NamedTuple):
    x: object
    y: object


class Row(NamedTuple):
    a: int
    b: str


class Typed(TypedDict):
    a: int
    b: str


@pydantic.dataclasses.dataclass
class Checked:
    a: int
    b: str


@dataclasses.dataclass
class Author:
    name: str
    born: object = None
    kind: ClassVar[str] = "no field"


@dataclasses.dataclass(frozen=True)
class Slotted:
    __slots__ = ("a", "unset")
    a: int
    unset: int

    def __init__(self) -> None:
        object.__setattr__(self, "a", 1)


class Page(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    title: str = pydantic.Field(alias="Title")
    secret: str = pydantic.Field("hidden", exclude=True)
    author: Author
    url: pydantic.HttpUrl = pydantic.HttpUrl("https://a.example/b")

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return len(self.title)


class Lazy(Mapping):
    """A mapping that is not a dict."""

    def __init__(self, fields):
        self.fields = fields

    def __getitem__(self, key):
        return self.fields[key]

    def __iter__(self):
        return iter(self.fields)

    def __len__(self):
        return len(self.fields)


def written(value):
    """The lines for a value: the text after its key, or below it without indentation."""
    first, _, rest = to_yaml({"f": value}).removeprefix("f:").partition("\n")
    return first.strip() or textwrap.dedent(rest).rstrip("\n")


def refusal(documents, rank_fields=None):
    """The message of the error for these documents."""
    with pytest.raises(InvalidRequestError) as caught:
        to_texts(documents, rank_fields)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CohereRerankError)
    return str(caught.value)


def test_strings_are_sent_as_they_are():
    """No string is touched, whatever it holds, lone surrogates included: encoding is the wire's business."""
    documents = ["one", " two\n", "a: b", "😀", "\ud800", "\x85a"]
    assert to_texts(documents) == (documents, documents)


def test_the_lists_given_back_are_new():
    """Changing them changes neither the caller's list nor one another."""
    documents = ["one", "two"]
    items, texts = to_texts(documents)
    items.append("three")
    texts.append("four")
    assert documents == ["one", "two"]
    assert len(texts) == 3


def test_subclasses_of_str_become_plain_str():
    """The characters of the string are sent, whatever its class makes of them."""
    items, texts = to_texts([Word("word"), "plain"])
    assert type(items[0]) is Word
    assert texts == ["word", "plain"]
    assert type(texts[0]) is str


def test_no_documents_are_no_texts():
    """The client handles an empty list."""
    assert to_texts([]) == ([], [])
    assert to_texts(iter(())) == ([], [])


@pytest.mark.parametrize("make", [tuple, iter, collections.deque, lambda d: (x for x in d), lambda d: dict.fromkeys(d)])
def test_any_iterable_is_read_once(make):
    """Lists, tuples, generators and deques work. A mapping is not a list of documents."""
    documents = make(["a", "b"])
    if isinstance(documents, dict):
        documents = documents.keys()
    assert to_texts(documents) == (["a", "b"], ["a", "b"])


def test_an_error_inside_the_callers_iterator_is_the_callers():
    """It is not mistaken for a wrong argument."""

    def broken():
        yield "a"
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        to_texts(broken())


def test_the_published_example_is_written_as_published():
    """The dicts of Cohere's guide become the strings of its request, byte for byte."""
    sample = json.loads((ROOT / "tests/samples/structured_documents.json").read_text(encoding="utf-8"))
    items, texts = to_texts(sample["dict_documents"])
    assert texts == sample["request_documents"]
    assert all(item is document for item, document in zip(items, sample["dict_documents"], strict=True))


class Node:
    """Something without a form in YAML."""


NODE = f"{__name__}.Node"


STRUCTURED: dict[str, Any] = {
    "dict": {"a": 1, "b": "x"},
    "typed": Typed(a=1, b="x"),
    "ordered": collections.OrderedDict(a=1, b="x"),
    "proxy": types.MappingProxyType({"a": 1, "b": "x"}),
    "chain": collections.ChainMap[str, Any]({"b": "x"}, {"a": 1}),
    "mapping": Lazy({"a": 1, "b": "x"}),
    "default": collections.defaultdict(list, a=1, b="x"),
    "dataclass": dataclasses.make_dataclass("Record", ["a", "b"])(1, "x"),
    "named tuple": Row(1, "x"),
    "model": pydantic.create_model("Model", a=(int, ...), b=(str, ...))(a=1, b="x"),
    "root model": pydantic.RootModel[dict[str, Any]]({"a": 1, "b": "x"}),
    "pydantic dataclass": Checked(1, "x"),
    "simple namespace of keys": {Word("a"): 1, Word("b"): Word("x")},
}


@pytest.mark.parametrize("document", STRUCTURED.values(), ids=STRUCTURED)
def test_every_kind_of_structured_document_gives_its_fields_in_order(document):
    """As the only document, among strings, and nested in another one."""
    assert to_yaml(document) == "a: 1\nb: x\n"
    items, texts = to_texts(["text", document])
    assert items[1] is document
    assert texts == ["text", "a: 1\nb: x\n"]
    assert written(document) == "a: 1\nb: x"
    assert written([document]) == "- a: 1\n  b: x"


def test_attrs_classes_give_their_fields():
    """With slots too."""
    attrs = pytest.importorskip("attrs")
    record = attrs.make_class("Record", ["b", "a"], slots=True)
    assert to_yaml(record("x", record(1, 2))) == "b: x\na:\n  b: 1\n  a: 2\n"


def test_fields_without_a_value_are_left_out():
    """A slot never set, or a model made by ``model_construct``."""
    assert to_yaml(Slotted()) == "a: 1\n"
    assert to_yaml(Page.model_construct(title="T")) == "title: T\nurl: https://a.example/b\nlength: 1\n"


def test_a_model_gives_what_model_dump_would():
    """Python names, computed and extra fields; what is excluded from a dump is not sent."""
    page = Page(Title="T", author=Author("A", date(1990, 1, 2)), note="extra")
    assert to_yaml(page) == (
        "title: T\nauthor:\n  name: A\n  born: 1990-01-02\nurl: https://a.example/b\nnote: extra\nlength: 1\n"
    )
    assert list(page.model_dump()) == list(yaml.safe_load(to_yaml(page)))


NAIVE = datetime(2024, 1, 2, 3, 4, 5, 600)  # noqa: DTZ001

FORMS: list[tuple[Any, str | None, Any]] = [
    (Decimal("1.10"), "1.10", 1.1),
    (Decimal("1E+5"), "1.0e+5", 1e5),
    (Decimal("-0E-10"), "-0.0e-10", 0.0),
    (Decimal("NaN"), ".nan", None),
    (Decimal("-Infinity"), "-.inf", float("-inf")),
    (Decimal(12), "12", 12),
    (uuid.UUID(int=2**100), "00000010-0000-0000-0000-000000000000", "00000010-0000-0000-0000-000000000000"),
    (uuid.UUID(int=int("1" * 32, 10)), None, str(uuid.UUID(int=int("1" * 32, 10)))),
    (PurePosixPath("a/b c.txt"), "a/b c.txt", "a/b c.txt"),
    (PureWindowsPath("c:\\b"), "c:\\b", "c:\\b"),
    (Color.RED, "red", "red"),
    (Level.HIGH, "3", 3),
    (date(2024, 1, 2), "2024-01-02", date(2024, 1, 2)),
    (NAIVE, "2024-01-02 03:04:05.000600", NAIVE),
    (
        datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
        "2024-01-02 00:00:00-05:30",
        datetime(2024, 1, 2, 5, 30, tzinfo=timezone.utc),
    ),
    (
        datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=3208))),
        "1890-01-01 00:00:00+00:53:28",  # YAML has no offset with seconds
        "1890-01-01 00:00:00+00:53:28",
    ),
    (time(12, 30, 45), "'12:30:45'", "12:30:45"),
    (timedelta(days=1, hours=2), "1 day, 2:00:00", "1 day, 2:00:00"),
    (timedelta(hours=-1), "'-1:00:00'", "-1:00:00"),
    ((1, ("a", 2)), "- 1\n- - a\n  - 2", [1, ["a", 2]]),
    ({"b", "a", "c"}, "- a\n- b\n- c", ["a", "b", "c"]),
    (frozenset({10, 9.5, 2}), "- 2\n- 9.5\n- 10", [2, 9.5, 10]),
    ({float("inf"), 1, float("nan")}, "- 1\n- .inf\n- .nan", None),
    ({Color.RED, "a", 3, None, (1, 2)}, None, [[1, 2], 3, "a", None, "red"]),
    ({frozenset({"y", "x"}), frozenset({"b", "a"})}, "- - a\n  - b\n- - x\n  - y", [["a", "b"], ["x", "y"]]),
    (Point(1, Author("A")), "x: 1\ny:\n  name: A\n  born: null", {"x": 1, "y": {"name": "A", "born": None}}),
    (Word("word"), "word", "word"),
    (True, "true", True),
    (set(), "[]", []),
]


@pytest.mark.parametrize(("value", "text", "data"), FORMS, ids=[str(form[1])[:20] for form in FORMS])
def test_each_value_has_its_form_and_reads_back_as_documented(value, text, data):
    """Library types too: the text, and what ``yaml.safe_load`` makes of it."""
    if text is not None:
        assert written(value) == text
    if data is not None:
        assert yaml.safe_load(to_yaml({"f": value})) == {"f": data}


def test_numpy_values_are_written_as_their_python_values():
    """Scalars of every kind that Python has, arrays of any dimension, missing times as null."""
    np = pytest.importorskip("numpy")
    values = [
        np.int64(3),
        np.uint8(255),
        np.float64(0.5),
        np.float32(0.5),
        np.longdouble(0.25),
        np.bool_(True),
        np.str_("a"),
    ]
    assert yaml.safe_load(to_yaml({"f": values})) == {"f": [3, 255, 0.5, 0.5, 0.25, True, "a"]}
    arrays = [np.array(5), np.array([[1, 2], [3, 4]]), np.zeros((0,)), np.array(["a", None], dtype=object)]
    assert yaml.safe_load(to_yaml({"f": arrays})) == {"f": [5, [[1, 2], [3, 4]], [], ["a", None]]}
    assert written(np.datetime64("2024-01-02")) == "2024-01-02"
    assert written(np.array(["2024-01-02T03:04:05", "NaT"], dtype="M8[ns]")) == "- 2024-01-02 03:04:05\n- null"
    assert written(np.array("2024-01-02T03:04:05", dtype="M8[s]")) == "2024-01-02 03:04:05"
    assert written(np.datetime64("99999-01-01")) == "99999-01-01"
    assert written(np.timedelta64(90, "s")) == "0:01:30"
    assert "numpy.complex128" in refusal([{"f": np.complex128(1)}])
    assert 'documents[0]["f"][0]' in refusal([{"f": np.array([Node()], dtype=object)}])


def test_a_missing_time_of_pandas_is_null():
    """NaT is a datetime that is not equal to itself."""

    class NotATime(datetime):
        __hash__ = datetime.__hash__

        def __eq__(self, other):
            return False

        def isoformat(self, sep="T", timespec="auto"):
            return "NaT"

    assert written(NotATime(2024, 1, 1)) == "null"


def test_keys_are_scalars_in_the_form_of_values():
    """Numbers, None, bools and dates read back as keys of their type; library types as their text."""
    document = {1: "a", "1": "b", None: "c", 2.5: "d", False: "e", date(2024, 1, 2): "f", "": "g", "yes": "h"}
    assert yaml.safe_load(to_yaml(document)) == document
    assert to_yaml({Color.RED: 1, uuid.UUID(int=1): 2, Decimal("1.50"): 3, Word("w"): 4}) == (
        "red: 1\n00000000-0000-0000-0000-000000000001: 2\n1.50: 3\nw: 4\n"
    )


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_nothing_of_the_caller_changes(value):
    """Documents are only read."""
    documents = [{"a": value}, collections.defaultdict(list, a=value), Author("x", value)]
    before = copy.deepcopy(documents)
    to_texts(documents, on_empty="skip")
    to_texts(documents, ["a", "name", "missing"], on_empty="skip")
    assert documents == before


def test_the_same_set_is_the_same_text_in_every_process():
    """Hashes of strings differ from one process to the next; texts must not."""
    code = (
        "from cohere_rerank._wire.documents import to_yaml; import uuid;"
        "print(to_yaml({'f': {*'qwerty', 1, None, (1, 'a')}, 'g': {uuid.UUID(int=i) for i in range(9)}}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": PACKAGE_HOME},
            capture_output=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(outputs) == 1


def test_rank_fields_pick_and_order():
    """Each document sends the fields that it has, in the given order. Strings are sent whole."""
    documents = [{"a": 1, "b": 2, "c": 3}, {"c": 4}, "text", Author("A"), Lazy({"c": 5, "a": 6})]
    _, texts = to_texts(documents, ["c", "a", "name"])
    assert texts == ["c: 3\na: 1\n", "c: 4\n", "text", "name: A\n", "c: 5\na: 6\n"]
    assert to_yaml({"a": 1, "b": 2}, rank_fields=("b",)) == "b: 2\n"


def test_rank_fields_that_no_document_has_are_an_error():
    """There would be nothing to rank; a misspelt name must not go unseen."""
    assert refusal([{"a": 1}, {"b": 2}], ["a"]) == "document at index 1 has none of the rank_fields ['a']"


@pytest.mark.parametrize(
    ("rank_fields", "words"),
    [
        ("title", "rank_fields must be a list of field names, got of type str; for one field pass [name]"),
        ([], "rank_fields is empty"),
        ([1], "rank_fields must be a list of field names"),
        ({"a": 1}, "rank_fields must be a list of field names, got of type dict"),
        (3, "rank_fields must be a list of field names, got of type int"),
    ],
)
def test_rank_fields_must_be_a_list_of_names(rank_fields, words):
    """Even where every document is a string and they have no effect."""
    assert words in refusal(["text"], rank_fields)
    with pytest.raises(InvalidRequestError):
        to_yaml({"a": 1}, rank_fields=rank_fields)


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ("text", "documents must be a list of documents, got one of type str; for a single one pass [document]"),
        (b"text", "got one of type bytes"),
        ({"title": "T"}, "got one of type dict"),
        (Author("A"), "got one of type"),
        (Page.model_construct(title="T"), "got one of type"),
        (Point(1, 2), "got one of type"),
        (None, "documents must be a list or another iterable of documents, got None"),
        (3, "documents must be a list or another iterable of documents, got of type int"),
        (Author, "got the class Author (not an instance)"),
        (["a", None], "document at index 1 is None; a document is a str, a mapping, a dataclass, a pydantic model"),
        (["a", 3.5], "document at index 1 is of type float"),
        ([b"text"], "document at index 0 is of type bytes"),
        ([["text"]], "document at index 0 is of type list"),
        ([Author], "document at index 0 is the class Author (not an instance)"),
        ([Path("a")], "document at index 0 is of type pathlib"),
        ([Node()], f"document at index 0 is of type {NODE}"),
        (
            ["a", "b", "c", ""],
            "document at index 3 is empty: it has neither text nor a field with a value. Leave it out",
        ),
        ([{"a": 1}, ""], "document at index 1 is empty"),
        ([Word("")], "document at index 0 is empty"),
        (["a", {}], "document at index 1 is empty"),
        ([dataclasses.make_dataclass("Empty", [])()], "document at index 0 is empty"),
        ([pydantic.RootModel[list[int]]([1])], "RootModel[list[int]]; a document is a str"),
    ],
)
def test_what_is_no_document_is_refused_by_index_and_type(documents, words):
    """Before anything is sent, with what to do about it."""
    assert words in refusal(documents)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"author": {"born": Node()}},
            f'[2]["author"]["born"] is of type {NODE}, which has no YAML form',
        ),
        ({"tags": ["a", b"secret"]}, '[2]["tags"][1] is of type bytes; decode it to a str first'),
        ({"tags": {Node()}}, '[2]["tags"]'),
        ({"key": pydantic.SecretStr("secret")}, '[2]["key"] is of type pydantic.types.SecretStr'),
        ({"a": 3j}, '[2]["a"] is of type complex'),
        ({"a": (x for x in "secret")}, '[2]["a"] is of type generator'),
        ({"a": int}, '[2]["a"] is the class int (not an instance)'),
        ({"a": [{1: {2.5: object()}}]}, '[2]["a"][0][1][2.5] is of type object'),
        (
            {("secret", 1): 1},
            "a key of documents[2] is of type tuple; a key must be a str, a number, a bool, None or a date",
        ),
        ({"a": {frozenset({1}): 1}}, 'a key of documents[2]["a"] is of type frozenset'),
        ({b"secret": 1}, "a key of documents[2] is of type bytes"),
        ({"a": 10**5000}, '[2]["a"] is an int with more digits than Python can write; pass it as a str'),
        ({"k" * 1000: Node()}, f'[2]["{"k" * 60}…"] is of type'),
    ],
)
def test_a_value_without_a_form_is_refused_by_its_place(document, words):
    """The message has the index, the path of keys and the type, never the value."""
    message = refusal(["a", "b", document])
    assert words in message
    assert "documents[2]" in message
    assert "secret" not in message


def test_without_an_index_the_place_is_the_document():
    """``to_yaml`` on its own."""
    with pytest.raises(InvalidRequestError, match=re.escape('document["a"] is of type object')):
        to_yaml({"a": object()})
    with pytest.raises(InvalidRequestError, match="document is of type str"):
        to_yaml("text")
    with pytest.raises(InvalidRequestError, match=re.escape('documents[7]["a"]')):
        to_yaml({"a": object()}, index=7)


def test_a_document_that_contains_itself_is_refused():
    """Through a list, a mapping, a dataclass; and nesting without end in general."""
    listed: list[object] = ["a"]
    listed.append(listed)
    mapped: dict[str, object] = {}
    mapped["m"] = {"n": mapped}
    author = Author("A")
    author.born = [author]
    deep: object = "end"
    for _ in range(5000):
        deep = [deep]
    for document in ({"a": listed}, mapped, author, {"a": deep}):
        message = refusal([document])
        assert "is nested more than 100 levels deep, or contains itself" in message
        assert len(message) < 300


def test_a_hundred_levels_are_written_and_read_back():
    """The bound is far above what documents have."""
    deep: object = "end"
    for _ in range(50):
        deep = {"a": [deep]}
    document = {"f": deep}
    assert yaml.safe_load(to_yaml(document)) == document
    assert "100 levels" in refusal([{"f": [deep]}])


def light_import(code):
    """The modules loaded by a bare interpreter that runs the code."""
    before = f"import sys, __future__; sys.path.append({PACKAGE_HOME!r}); before = set(sys.modules)"
    probe = f"{before}\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_strings_load_nothing_and_records_load_no_library():
    """Neither yaml, typing, dataclasses, decimal nor any other module that a document's values could come from."""
    strings = light_import("from cohere_rerank._wire.documents import to_texts; to_texts(['a', 'b'])")
    assert not {name for name in strings if not name.startswith("cohere_rerank")}
    records = light_import("from cohere_rerank._wire.documents import to_texts; to_texts([{'a': 1, 'b': [1.5, None]}])")
    heavy = {"dataclasses", "datetime", "decimal", "numpy", "pathlib", "pydantic", "typing", "uuid", "yaml"}
    assert not records & heavy


def test_the_table_of_the_documentation_is_true():
    """Each row of "Values": the expression on the left is written as on the right."""
    page = (ROOT / "docs/explanation/documents.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| (?:`(.+?)`|<code>(.+?)</code>) \|", page, re.MULTILINE)
    assert len(rows) > 20
    names = {**globals(), "HttpUrl": pydantic.HttpUrl, "UUID": uuid.UUID}
    if find_spec("numpy"):
        names["numpy"] = import_module("numpy")
    else:
        rows = [row for row in rows if "numpy" not in row[0]]
    for expression, line, lines in rows:
        assert written(eval(expression, names)) == (line or lines.replace("<br>", "\n")), expression
