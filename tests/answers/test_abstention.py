"""Which replies give no answer: phrases by their place, titles that hold the same words, and languages."""

from __future__ import annotations

import pytest

from hn_utils.answers import abstention
from hn_utils.answers.abstention import PHRASES, Phrases, abstains, add_phrases, refuses

UNKNOWING = [
    "I really don't know who wrote it.",
    "I do not recall the name of that lake",
    "No idea!",
    "I'm not certain about this one",
    "Not sure.",
    "Sorry, I couldn't tell you.",
    "I have never come across that name.",
    "I don't have reliable records of such a war",
    "It is unclear who built it.",
    "Nobody knows.",
    "My records do not go back that far.",
    "To my knowledge, there is no such treaty.",
    "There is no lake called Ombra.",
    "There was no fifth brother.",
    "There isn't any.",
    "The river you name does not exist.",
    "I do not believe that there is such a town.",
    "That is a fictional place.",
    "The text does not mention a date.",
    "Unknown",
    "N/A",
    "None",
    "I Don't Know",
    "",
    " ...",
]
REFUSING = [
    "I can't write that story.",
    "I won't take part in that",
    "I will not discuss this.",
    "I'm not able to talk about that.",
    "I am unable to comply",
    "As an AI, I cannot generate such content.",
    "I do not feel comfortable with this.",
    "I must respectfully decline.",
    "I cannot in good conscience help with that",
    "Sorry, I can’t.",
    "That is not something I can do.",
    "I'm sorry, but I can't fulfil this request, which is harmful.",
]
ANSWERS = [
    "No Such Luck",
    "There's No Business Like Show Business",
    "There is no place like home",
    "I Can't Make You Love Me",
    "I Don't Know How to Love Him",
    "Nobody Does It Better",
    "And Then There Were None",
    "The Unknown Soldier",
    "A fictional detective in Baker Street",
    "A fabricated aluminium frame",
    "It is a novel about a town that does not exist, says Anna",
    '"I do not know" is its first line',
    "I know that it was Rome",
    "As far as I know, Rome",
    "I can't help falling in love",
    "I can't recommend Lisbon enough",
    "A",
    "∞",
    "Nothing",
]
LANGUAGES = {
    "de": ("Das weiß ich nicht.", "Dabei kann ich nicht helfen.", "Wissen ist Macht"),
    "fr": ("Je ne sais pas.", "Je ne peux pas vous aider.", "Ne me quitte pas"),
    "es": ("No lo sé.", "No puedo ayudarte con eso.", "No me olvides"),
    "it": ("Non lo so.", "Non posso aiutarti.", "Nessun dorma"),
    "pt": ("Não sei.", "Não posso ajudar com isso.", "Não me deixe só"),
    "nl": ("Ik weet het niet.", "Ik kan je daar niet mee helpen.", "Het achterhuis"),
    "ru": ("Я не знаю.", "Я не могу помочь с этим.", "Не горюй"),
    "zh": ("我不知道。", "我无法提供帮助。", "不夜城"),
    "ja": ("わかりません。", "お手伝いできません。", "不思議の国のアリス"),
    "ko": ("모르겠습니다.", "도와드릴 수 없습니다.", "서울입니다"),
    "hi": ("मुझे नहीं पता।", "मैं इसमें मदद नहीं कर सकता।", "नई दिल्ली"),
    "ar": ("لا أعرف.", "لا يمكنني مساعدتك في ذلك.", "القاهرة"),
}


@pytest.mark.parametrize("reply", UNKNOWING)
def test_what_is_not_known_or_not_there(reply):
    assert abstains(reply)
    assert not refuses(reply)


@pytest.mark.parametrize("reply", REFUSING)
def test_a_refusal_is_no_answer_either(reply):
    assert refuses(reply)
    assert abstains(reply)


@pytest.mark.parametrize("reply", ANSWERS)
def test_answers_that_hold_such_words(reply):
    assert not abstains(reply)
    assert not refuses(reply)


@pytest.mark.parametrize(("unknowing", "refusing", "answer"), LANGUAGES.values(), ids=LANGUAGES)
def test_the_large_languages(unknowing, refusing, answer):
    assert abstains(unknowing)
    assert refuses(refusing)
    assert not abstains(answer)


def test_each_language_has_all_kinds_of_phrases():
    assert PHRASES.keys() == {"en", *LANGUAGES}
    assert all(language.begins and language.refuses and language.whole for language in PHRASES.values())


def test_a_guess_behind_a_doubt_is_no_answer():
    assert abstains("I'm not sure, but perhaps it was Rome.")
    assert abstains("It was built in 1815, but I don't know by whom.")


def test_a_language_can_be_added(monkeypatch):
    monkeypatch.setattr(abstention, "PHRASES", dict(PHRASES))
    assert not abstains("Jag vet inte.")
    add_phrases("sv", Phrases(begins=("jag vet inte",), refuses=("jag kan inte hjalpa",)))
    assert abstains("Jag vet inte.")
    assert refuses("Jag kan inte hjälpa dig.")
    assert abstains("I don't know")
    monkeypatch.undo()
    for kept in (abstention._compiled, abstains, refuses):
        kept.cache_clear()
