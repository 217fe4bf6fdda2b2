"""Consonants across scripts: how letters sound, the scripts of a text, and the effect on rankings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.local import phonetics as module
from cohere_rerank.local.analysis import fold, query_grams
from cohere_rerank.local.lexical import LexicalScorer, raw_scores
from cohere_rerank.local.phonetics import consonant_grams, consonants, scripts

UDHR = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "udhr.jsonl").read_text(encoding="utf-8").splitlines()
]


def consonants_of(text):
    """Return the consonants of an unfolded text."""
    return consonants(fold(text)).strip()


@pytest.mark.parametrize(
    ("consonants", "names"),
    [
        ("TSL", ["Tesla", "Тесла", "Τέσλα", "טסלה", "टेस्ला", "ტესლა", "ቴስላ", "টেসলা"]),
        ("LNDN", ["London", "Λονδίνο", "ლონდონი", "लंदन", "לונדון", "لندن", "Լոնդոն", "লন্ডন"]),
        ("MNTRL", ["Montréal", "Монреаль Монтреаль", "მონტრეალი", "मॉन्ट्रियल", "מונטריאול"]),
        ("SRSL", ["Черчиль", "ჩერჩილი", "เชอร์ชิล", "ਚਰਚਿਲ", "ቸርችል"]),
        ("PRS", ["Paris", "Париж", "პარიზი", "पेरिस", "פריז"]),
        ("BGRD", ["Beograd", "Београд", "ბეგრადი"]),
    ],
)
def test_a_name_has_the_same_consonants_in_every_script(consonants, names):
    """A name has the same consonants in every script, except for an H at its end."""
    for name in names:
        assert consonants in [word.rstrip("H") for word in consonants_of(name).split()], name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cecil Church Philip Thames Shah", "SSL KRK PLP TMS SH"),  # soft c; h after a consonant is mute
        ("Taxi", "TKS"),
        ("Ψυχή Ξένος", "PSK KSNS"),
        ("Чайковский Юрьев", "SKFSK RF"),
        ("서울 부산", "SL BSN"),
        ("東京 テスラ", "TSR"),  # Han has no consonants
        ("จอร์จ", "SRS"),  # neither vowels nor the sign of a mute letter
        ("กรุงเทพฯ เด็กๆ", "KRNTP DK"),  # signs of abbreviation and repetition
        ("Әзірбайжан Azerbaijan", "SRBSN SRBSN"),  # schwa
        ("һава Һиндистан", "HF HNDSTN"),
        ("Oʻzbekiston Ўзбекистон ʿAbd Kaʻa ꞌEua ʔa", "SBKSTN SBKSTN BD K"),  # silent apostrophes
        ("ماء гӏа", "M G"),  # hamza, palochka
        ("Iŋari Óðinn", "NR DNN"),
        ("2024", ""),
        ("aeiou", ""),
        ("", ""),
    ],
)
def test_how_letters_sound(text, expected):
    """Consonants come from the names of letters. Vowels, signs, digits and Han have no sound."""
    assert consonants_of(text) == expected


def test_every_letter_of_unicode_has_a_sound_or_none():
    """Every character has a sound of ASCII capitals, or none."""
    for code in range(sys.maxunicode + 1):
        sound = module._character_consonants(chr(code))
        assert not sound or (sound.isascii() and sound.isupper()), hex(code)


@given(st.text())
def test_consonants_never_match_letters(text):
    """Consonants are ASCII capitals, which no folded text has, so their grams match consonants only."""
    assert all(char == " " or "A" <= char <= "Z" for char in consonants(fold(text)))
    assert not any("A" <= char <= "Z" for char in fold(text))


@given(st.text())
def test_words_have_consonants_of_their_own(text):
    """The consonants of a word do not depend on its neighbours."""
    words = (consonants(word).strip() for word in fold(text).split())
    assert consonants(fold(text)).split() == [word for word in words if word]


@given(st.text())
def test_the_consonants_of_a_query_contain_its_grams(query):
    """The consonants of a query contain each of its grams, and each gram has a weight."""
    text = consonants(fold(query))
    for gram, weight in consonant_grams(query).items():
        assert gram in text
        assert weight > 0


@pytest.mark.parametrize(("n_words", "n_letters"), [(1, 800), (150, 5), (2, 5)])
def test_the_consonant_grams_with_the_highest_weights_are_used(n_words, n_letters):
    """A long word or a long query has 64 grams, those with the highest weights."""
    random = Random(1)
    query = " ".join("".join(random.choices("бгдклмнпрст", k=n_letters)) for _ in range(n_words))
    everything = query_grams(query, module._word_grams)
    assert (len(everything) > 300) == (n_words * n_letters > 10)
    assert sorted(consonant_grams(query).values()) == sorted(everything.values())[-64:]


def test_names_weigh_more():
    """As with letter grams, names outweigh other words, and the start of a word outweighs its rest."""
    grams = consonant_grams("the factory of Tesla")
    assert grams[" TS"] > grams["TSL"] > grams["FKT"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is Tesla?", {"LATIN"}),
        ("Đặng Thái Sơn", {"LATIN"}),
        ("Что такое iPad компании Apple из Купертино?", {"CYRILLIC"}),
        ("東京タワーの高さ", {"CJK"}),
        ("Linux和Windows系统的区别", {"LATIN", "CJK"}),
        ("12 345", set()),
        ("", set()),
    ],
)
def test_scripts(text, expected):
    """A script counts if it has a quarter of the letters. Digits and signs have none. Kana and Han are one script."""
    assert scripts(fold(text)) & expected == expected
    if len(expected) < 2:
        assert scripts(fold(text)) == expected


# Who found radium, in words of our own: answer, then others of the same sort.
IN_SCRIPTS = {
    "English": [
        "Marie Curie found radium in Paris.",
        "Nikola Tesla built motors in New York.",
        "Charles Darwin travelled on the Beagle.",
    ],
    "Russian": [
        "Радий открыла в Париже Мария Кюри.",
        "Никола Тесла строил моторы в Нью-Йорке.",
        "Чарльз Дарвин плавал на корабле «Бигль».",
    ],
    "Greek": [
        "Το ράδιο ανακάλυψε στο Παρίσι η Μαρί Κιουρί.",
        "Ο Νίκολα Τέσλα έφτιαχνε μοτέρ στη Νέα Υόρκη.",
        "Ο Κάρολος Δαρβίνος ταξίδεψε με το Μπιγκλ.",
    ],
    "Hindi": [
        "मेरी क्यूरी ने पेरिस में रेडियम खोजा।",
        "निकोला टेस्ला ने न्यूयॉर्क में मोटर बनाई।",
        "चार्ल्स डार्विन ने बीगल पर यात्रा की।",
    ],
    "Georgian": [
        "რადიუმი პარიზში აღმოაჩინა მარი კიურიმ.",
        "ნიკოლა ტესლა ნიუ-იორკში მოტორებს აწყობდა.",
        "ჩარლზ დარვინმა „ბიგლით“ იმოგზაურა.",
    ],
}


@pytest.mark.parametrize("asked", IN_SCRIPTS)
@pytest.mark.parametrize("answered", IN_SCRIPTS)
def test_a_sentence_finds_its_translation_by_its_names(asked, answered):
    """In each pair of scripts, the sentence with the names of the query comes first."""
    for i, query in enumerate(IN_SCRIPTS[asked]):
        scores = LexicalScorer().score(query, IN_SCRIPTS[answered])
        assert scores.index(max(scores)) == i, query
        assert scores.count(max(scores)) == 1


@pytest.mark.parametrize("place", range(3))
def test_the_answer_in_the_script_of_the_question_comes_before_its_translations(place):
    """Consonants are weaker evidence than letters: a list may mix scripts."""
    documents = [text for texts in IN_SCRIPTS.values() for text in texts]
    scores = LexicalScorer().score(IN_SCRIPTS["English"][place], documents)
    assert scores.index(max(scores)) == place


def test_lists_of_one_script_need_no_consonants(monkeypatch):
    """If query and documents are in one script, consonants are not used."""
    monkeypatch.setattr("cohere_rerank.local.query.consonant_grams", pytest.fail)
    for language in UDHR:
        paragraphs = [text for article in language["articles"].values() for text in article]
        assert any(raw_scores(paragraphs[0], paragraphs[1:])[0]), language["language"]


def test_a_query_without_consonants_ranks_by_letters():
    """Han in the query says nothing of its sound; documents in other scripts then score as without consonant grams."""
    raw, evidence = raw_scores("東京 2020", ["Токио 2020", "Токио"])
    assert raw[0] > raw[1] == 0.0
    assert 0.0 < evidence.coverage < 1.0


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("Peter", "Потребители довольны новым товаром."),
        ("salad", "Следы вели к реке."),
        ("Who founded Boston?", "Быстро пошли домой, потому что фонды найдены."),
        ("What is the capital of Peru?", "Пароход уходит утром; капитал банка вырос."),
        ("battery life", "Птицы летят на юг, а батрак любит отдых."),
    ],
)
def test_a_few_matching_consonants_are_not_an_answer(query, document):
    """A document that matches a few consonants by chance stays below 0.5."""
    assert 0.0 < LexicalScorer().score(query, [document])[0] < 0.5


@pytest.mark.parametrize(("n_documents", "length"), [(1, 1), (5, 1), (20, 1), (1, 6), (5, 6)])
def test_queries_that_nothing_answers_rarely_keep_a_document_in_another_script(n_documents, length):
    """Everyday queries to the Declaration of Human Rights: one list in fifty at most keeps a document at 0.5."""
    queries = ["Merkel", "battery life", "What is the capital of Peru?", "best pizza in Naples", "Who founded Tesla?"]
    random = Random(n_documents)
    kept = []
    for language in UDHR:
        paragraphs = [text for article in language["articles"].values() for text in article]
        if "LATIN" in scripts(fold(" ".join(paragraphs))):
            continue
        for query in queries:
            documents = [" ".join(random.choices(paragraphs, k=length)) for _ in range(n_documents)]
            kept.append(max(LexicalScorer().score(query, documents)) >= 0.5)
    assert len(kept) > 100
    assert sum(kept) <= len(kept) / 50


@pytest.mark.parametrize("company", [4, 23])
def test_an_answer_in_another_script_scores_high(company):
    """A sentence with both names of the query scores above 0.5, and far above the others."""
    others = [text for text in IN_SCRIPTS["Russian"] if "Тесла" not in text] * company
    answer, *rest = LexicalScorer().score("Who is Nikola Tesla?", [IN_SCRIPTS["Russian"][1], *others[:company]])
    assert answer >= 0.5
    assert max(rest) < 0.1


def test_consonants_count_less_in_a_long_text():
    """A long text matches more consonants by chance, so they count less."""
    shares = [raw_scores("Nikola Tesla", ["Никола Тесла " + "и вода " * n])[1].sounds for n in (0, 100, 1000)]
    assert shares == sorted(set(shares), reverse=True)


def test_letters_in_a_text_of_another_script_count_in_full():
    """A name in Latin letters in a Russian text is not a coincidence."""
    assert raw_scores("Nikola Tesla", ["Это Nikola Tesla, вода " + "и вода " * 1000])[1].coverage > 0.999


@pytest.mark.parametrize("query", ["SQL", "Python", "COVID-19"])
def test_letters_in_one_text_of_another_script_lift_no_other(query):
    """The others share nothing with the query, by letters or by consonants, and score as if they were alone."""
    others = ["Погода сегодня хорошая, и дождя нет. " * 200, "Борщ варят долго на малом огне. " * 200]
    scores = LexicalScorer().score(query, [f"{others[0]} {query} {others[1]}", *others])
    assert scores[0] > 0.9
    assert max(scores[1:]) < 0.1
