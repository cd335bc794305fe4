"""Does a reply give no answer? Phrases with a place in the sentence, in the large languages, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import regex

from hn_utils.questions.reading.letters import fold


@dataclass(frozen=True)
class Phrases:
    """How one language declines, as regular expressions over lower-case text in plain letters.

    `opening` may stand before any of the others. `begins` and `refuses` are beginnings of a sentence: the speaker does
    not know, or the thing does not exist; the speaker will not help. `ends` are ends of a sentence, whose beginning
    names what does not exist. `whole` is all that a reply says.
    """

    opening: str = ""
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


# English: what "I" cannot do, and where that is no answer
_ADVERB = (
    r"(?:(?:really|actually|currently|honestly|personally|yet|even|fully|accurately|reliably|definitively|"
    r"simply|just|possibly|unfortunately|quite|presently|directly|ethically|in good conscience|at this time|"
    r"with certainty|for sure),? )*"
)
_CANNOT = (
    r"(?:i|we) (?:can ?not and will not|can ?not|can't|cant|could ?n'?o?t|could not|won'?t(?: be able to)?|will not"
    r"(?: be able to)?|wouldn't|would not|would rather not|must decline to|(?:am|are|was|were) (?:not able|unable) to)"
)
_AM = r"(?:i'?m|i am|we'?re|we are|i was)"
_NEVER = (
    r"(?:i|we)(?:'ve| have)? (?:never|have ?n'?o?t(?: ever| yet)?|haven't(?: ever| yet)?|had not|hadn't) (?:ever )?"
)
_THING = (
    r"(?:it|that|this|these|those|them|any|anything|anyone|a|an|the|such|what|who|when|where|which|whether|if|"
    r"information|details|evidence|records?|references?|sources?|data|one|either|your|you|for (?:sure|certain))"
)
_ENDS = r"(?=[\s]*(?:$|[.!?,;:]))"
_KNOWLEDGE = (
    r"(?:information|knowledge|data|details?|records?|records|recollection|memory|evidence|answers?|idea|clue|"
    r"way (?:of knowing|to)|access|context|sources?|references?|results?|mention|documentation|certainty)"
)
_DO = r"(?:don'?t|do not|didn'?t|did not)"
_HELP = (
    r"(?:help|assist|provide|share|give|offer|create|generate|write|produce|make|build|compose|develop|discuss|engage|"
    r"talk about|describe|explain|show|tell|say|answer|respond|reply|comply|fulfil+|satisfy|support|endorse|promote|"
    r"encourage|facilitate|participate|take part|continue|proceed|process|complete|perform|do (?:that|this|it|so)|"
    r"allow|condone|recommend|advise|suggest|teach|guide|instruct|disclose|reveal|divulge|release|hand|supply|send|"
    r"agree|accommodate|grant|honou?r|entertain|address|handle|pretend|role-?play|act|translate|summari[sz]e|draft|"
    r"speculate|comment|be (?:able to|of|part of|involved)|go along|serve|accept|carry out|execute|print|list|repeat|"
    r"confirm|look up|access|browse|open|read out|pass on|state|name|enable|contribute|cooperate|collaborate|assume)"
)
_PRAISE = r"(?! (?:falling|but |(?:\w+ ){0,3}enough\b)|(?<=give) (?:up|in)\b)"  # "can't help falling in love"

PHRASES: dict[str, Phrases] = {
    "en": Phrases(
        opening=(
            r"(?:(?:i(?:'m| am) (?:so |very |truly |really )?(?:sorry|afraid)|(?:so |very )?sorry(?: about that)?|"
            r"i apologi[sz]e(?: for [^,.]*)?|(?:my )?apologies|my regrets|i regret(?: to say)?|regrettably|"
            r"unfortunately|"
            r"sadly|alas|well|hmm+|um+|uh|oh|no|ok(?:ay)?|honestly|frankly|to be (?:honest|frank|clear)|truthfully|"
            r"actually|however|still|currently|at (?:this time|present|the moment)|please note|note|thank(?:s|"
            r" you)[^,.]*|"
            r"as an? (?:ai|artificial intelligence|(?:large )?language model|assistant|chatbot)[^,.]*?|"
            r"as a (?:responsible|helpful|harmless)[^,.]*|"
            r"i (?:am|'m) (?:just |only )?an? (?:ai|language model|assistant)[^,.]*|i'm (?:just |only )?an? (?:ai|"
            r"language "
            r"model|assistant|virtual assistant)[^,.]*|i(?:'m| am) (?:programmed|designed|trained)[^,.;]*|"
            r"based on (?:my|the) [^,.]*|"
            r"according to my [^,.]*|to (?:my|the best of my) knowledge|as far as i (?:know|can tell)|"
            r"i (?:have to|must) (?:admit|say|confess)|the answer is|answer:|that said|but|and|so|because|since|though|"
            r"although|i(?:'d| would) (?:love|like) to help|for (?:safety|legal|ethical)[^,.]* reasons)"
            r"(?:[,;:!.]? (?:but |that |and |however,? )?|[,;:] ?))*"
        ),
        begins=(
            rf"(?:i |we )?(?:honestly |really |genuinely |simply |just |still )?{_DO} {_ADVERB}(?:know|recall|"
            rf"remember)\b(?! how (?:i|you) )",
            rf"(?:i )?{_DO} {_ADVERB}(?:understand|recogni[sz]e) (?:the|this|that|your|what|who)\b",
            rf"(?:i|we) {_ADVERB}(?:{_DO} {_ADVERB}have|have|lack|possess|had|found|{_DO} {_ADVERB}possess|could find) "
            rf"(?:(?:no|any|enough|the|an?|sufficient|specific|reliable|access to|up-to-date|such|much|further|to|that|"
            rf"necessary|relevant|detailed|accurate|current|concrete|verifiable|personal|real-time|prior|good|exact|"
            rf"definitive|clear|correct)\b ?)*\b{_KNOWLEDGE}\b",
            r"(?:i|we) (?:really |honestly )?(?:have no|don'?t have any|haven'?t (?:a|the)|have not the) (?:faintest|"
            r"foggiest|slightest|earthly)? ?"
            r"(?:idea|clue|notion|knowledge|information|record|answer)",
            rf"{_NEVER}(?:heard|come across|encountered|read|seen|been able|found|learn(?:ed|t)|got|any|a clue|the)\b",
            rf"{_CANNOT} {_ADVERB}(?:know|recall|remember|be (?:sure|certain)|think of|answer|say|tell|determine|"
            rf"confirm|"
            rf"verify|identify|ascertain|establish|guess)(?=\W*$|[.,;!]| {_THING}\b| with | for )(?! you why)",
            rf"{_CANNOT} {_ADVERB}(?:find|locate|see|retrieve|come up with|recogni[sz]e|place|decide)(?=\W*$|[.,;!]|"
            rf" {_THING}\b)(?! a way\b)",
            rf"{_AM} (?:really |quite |entirely |completely |totally |a bit |honestly |currently |just |also )*"
            r"(?:(?:not|n't) (?:\w+ )?(?:sure|certain|aware|familiar|confident|able|in a position|acquainted|"
            r"knowledgeable)"
            r"|unsure|uncertain|unaware|unfamiliar|unable|drawing a blank|stumped|clueless|at a loss)\b",
            r"i(?:'m| am) having (?:trouble|difficulty)",
            r"(?:not|un)(?: (?:entirely|quite|really|completely|too|100%))? ?(?:sure|certain)\b",
            r"(?:no|haven'?t a|not a) (?:idea|clue)\b",
            r"(?:no )?(?:beats me|dunno|idk|i dunno|search me|i give up|i pass|can'?t say|cannot say|couldn'?t say|"
            r"who knows|hard to say|difficult to say|impossible to say|your guess is)\b",
            r"it(?:'s| is)(?: (?:not|n't) (?:possible|clear|known)|n't (?:possible|clear|known)| (?:unknown|unclear|"
            r"uncertain|"
            r"impossible (?:to|for me to) (?:say|know|tell|answer|determine|be)|hard to (?:say|know|tell)|"
            r"difficult to (?:say|know|tell|determine)))\b",
            r"i (?:don'?t|do not|can'?t|cannot) (?:think|believe|see)(?: that)? (?:.{0,60}\b)?(?:exists?|existed|"
            r"is real|are real|was real|"
            r"there(?:'s| is| are| was| were| ever was)|is (?:an? )?(?:known|actual|real))\b",
            r"(?:it (?:seems|appears|looks like)(?: that)? |it's possible that |i (?:think|believe)(?: that)? |"
            r"perhaps )?"
            r"there(?:'s| is| are| was| were| has been| have been| exists?| seems to be| appears to be) "
            r"(?:(?:currently |actually |really |simply |probably |to be |known )*(?:no|not an?y?|not|n't any|"
            r"n't an?)) (?:(?:\w+[ -]){0,4}?"
            rf"(?:{_KNOWLEDGE}|such|one|anyone|anything|person|people|entry|agreement|consensus)\b"
            r"|(?:[\w'-]+ ){1,5}?(?:called|named|known|with (?:that|this|the)|by (?:that|this|the)|of (?:that|this)|"
            r"that|which|who|whose|in|on|of|for|about|at|to|matching|under|associated|related|connected)\b(?! like)"
            r"|(?:(?!like\b|but\b|than\b)[\w'-]+ ?){1,4}(?=[.!?]*$))",
            r"there (?:isn'?t|aren'?t|wasn'?t|weren'?t|is not|are not|was not|were not) (?:(?:any|an?|one|such|enough|"
            r"sufficient|actually|really|known)\b)",
            r"no,? there (?:is|was|are) no",
            r"no (?:such|known|record|information|data|evidence|results?|answer|reliable|credible|"
            r"verifiable)\b(?=.{0,80}"
            r"(?:exist|found|available|known|record|information|named|called|given|provided|yet|possible|$))",
            r"(?:nobody|no one|no person|nothing)(?: \w+)? (?:by|of|with|called|named) .{1,40}(?:exist|known|found)",
            r"not (?:that|as far as) i (?:know|am aware|'m aware|can tell)\b|not to my knowledge\b",
            r"(?:nobody|no one|no-one|none of us) (?:really |actually |truly )?(?:knows?|can (?:say|tell))\b",
            r"my (?:training|knowledge|data|information|database|records?|memory|sources?|"
            r"search)\b[^.]{0,40}\b(?:does|do|did|"
            r"doesn'?t|don'?t|didn'?t|cuts?|ends?|is|are|was|only|has|have|fails?|contains? no)\b",
            r"(?:this|that|it) (?:is|goes|lies|falls) (?:beyond|outside)(?: of)? my\b",
            r"(?:the|this|your) (?:question|premise|statement|claim|query)\b.{0,30}\b(?:is (?:based on|incorrect|"
            r"false|unclear|"
            r"flawed|ambiguous|unanswerable|incomplete)|contains|has no|cannot|can'?t|can not|does not|doesn'?t|"
            r"assumes)\b",
            r"the (?:text|context|passage|document|article|question|source)s? (?:does|do|did)(?: not|"
            r"n'?t) (?:\w+ )?(?:mention|say|specify|"
            r"state|provide|contain|give|include|tell|indicate)\b",
            r"(?:(?:that|this|it|such|the)(?: (?:information|data|answer|name|author|date|identity|number|"
            r"exact \w+))?(?: to (?:this|that|the question))?) "
            r"(?:is|was|remains?|are)(?: currently| still| largely)? (?:unknown|not (?:publicly |"
            r"currently )?(?:known|available|"
            r"specified|given|provided|certain|clear|recorded|documented)|unclear|uncertain|undetermined|undisclosed|"
            r"a mystery|lost to history)\b",
            r"(?:i|you) (?:may|might|must) (?:be|have) (?:been )?(?:mistaken|confus\w+|misremember\w*|think\w* of)\b",
            r"(?:could|can|would) you (?:please )?(?:clarify|provide|give me|rephrase|specify|be more specific)\b",
            r"(?:please )?(?:clarify|rephrase|provide more)\b",
        ),
        ends=(
            r"(?:do|does|did)(?:n'?t| not)(?: (?:appear|seem)(?: to)?| actually| really| currently| even| yet| ever|"
            r" in "
            r"fact)*(?: to)?(?: have)?(?: ever)? exist(?:ed)?(?: (?:in|on|at|as|anywhere|under|with|or|to my|"
            r"and)\b[^.!?]*)?",
            r"(?:never|no longer) existed(?: (?:in|on|at|as|anywhere)\b[^.!?]*)?",
            r"(?:could|can)(?:n'?t| ?not) (?:be )?(?:found|identified|verified|confirmed|determined|located|answered)"
            r"(?: (?:in|on|by|from|with)\b[^.!?]*)?",
            r"(?:this|that|it|they|he|she|the \w+)(?: \w+){0,3}? (?:is|are|was|were|appears? to be|seems? to be|"
            r"may be|might be) "
            r"(?:(?:likely|probably|entirely|purely|completely|not|an?|a) )*(?:fictional|fictitious|fabricated|"
            r"made[ -]up|"
            r"invented|imaginary|non-?existent|not real|n't real|hoax)(?: (?:and|or)\b[^.!?]*| [a-z]+| (?:as|in|"
            r"by)\b[^.!?]*)?",
            r"(?:is|are|was|were)(?: not|n'?t) (?:an? )?(?:real|actual|existing|known|recogni[sz]ed)(?: [a-z]+){0,2}",
        ),
        refuses=(
            rf"(?!(?:i|we) could){_CANNOT} {_ADVERB}{_HELP}\b{_PRAISE}(?! you why)",
            rf"{_CANNOT} {_ADVERB}[a-z]+(?: [a-z]+)?(?: to)?(?: any| with| of)? (?:(?:that|this|such|those|these)\b|"
            rf"(?:your )?(?:request|"
            rf"content|instructions|information|question|prompt)s?\b)(?! (?:enough|more|river|house|town|world))",
            rf"{_CANNOT}{_ENDS}",
            rf"{_AM} (?:not (?:able|willing|allowed|permitted|authori[sz]ed|comfortable|going|prepared|in a position|"
            rf"designed|"
            rf"programmed|equipped|at liberty)|unable|unwilling|forbidden|prohibited|prevented|uncomfortable|bound|"
            rf"restricted)"
            rf"(?: to| with| by| from)? ?(?!love|miss|dance|cry|fall)",
            r"i (?:do not|don'?t|would not|wouldn'?t) feel (?:\w+ )?(?:comfortable|right|at ease)\b",
            r"i(?:'d| would)(?: rather| prefer)(?: to)? not\b",
            r"i (?:must|have to|will have to|need to|'ll have to|am going to)? ?(?:respectfully |politely |"
            r"firmly )*(?:decline|refuse|abstain)\b",
            r"i(?:'ll| will) (?:have to pass|pass)\b",
            r"(?:it|that|this) (?:would be|is|'s)(?: \w+)? (?:inappropriate|unethical|illegal|irresponsible|wrong|"
            r"not appropriate|"
            r"against) .{0,30}(?:for me|to (?:provide|share|help|give|assist|answer|create)|my|guidelines|policy|"
            r"policies)\b",
            r"(?:it|that|this)(?:'s| is) (?:confidential|restricted|classified|private|against (?:my|our|the))\b",
            r"(?:my|our) (?:guidelines|programming|policies|policy|safety|ethical|principles|purpose|"
            r"instructions)\b[^.]{0,40}\b(?:prevent|"
            r"prohibit|forbid|do not|don'?t|does not|doesn'?t|is to)",
            r"(?:that|this|it|such \w+)(?:'s| is| are) (?:not something|nothing) (?:that )?i (?:can|could|will|am|'m|"
            r"would|feel)\b",
            r"(?:that|this|it)(?:'s| is)(?: not|n't) something (?:that )?i\b",
            r"as an? (?:ai|artificial intelligence|language model)[^.]{0,60}\b(?:can'?t|cannot|can ?not|do not|"
            r"don'?t|am not|won'?t|will not|unable|must)",
            r"(?:nice try|no way|absolutely not|not a chance|never)\b(?=\W*$|[,.!]+ i)",
        ),
        whole=(
            r"n/a|n\.a|none|unsure|uncertain|nobody|no ?one|no-one|not (?:known|applicable|available|sure|"
            r"found|"
            r"certain|specified|given|mentioned|provided|stated|listed|disclosed|determined)|no answer|no idea|"
            r"no clue|pass|"
            r"unknown(?: (?:author|artist|director|year|date|place|person|location|name|composer|writer|origin))?|"
            r"(?:i )?(?:don'?t|do not) know|(?:the answer is )?unknown|not enough information|insufficient information|"
            r"no information|information not available|data not available|anonymous author|\?+|idk|undetermined|"
            r"unanswerable",
        ),
    ),
    "de": Phrases(
        opening=r"(?:(?:es )?tut mir (?:wirklich |sehr |so )?leid|leider|entschuldigung|verzeihung|sorry|"
        r"ehrlich gesagt|also|nein|aber|als ki[^,.]*|als sprachmodell[^,.]*|bedauerlicherweise|ich bedauere|"
        r"ich furchte)[,.!:]? ?(?:aber |dass )?",
        begins=(
            r"(?:das |es |dies )?(?:weiss|weis) ich (?:leider |wirklich |auch |es |das )*nicht",
            r"ich (?:weiss|weis|kenne|erinnere) (?:\w+ ){0,4}nicht\b",
            r"ich (?:kenne|weiss) (?:\w+ ){0,2}(?:keine?n?|nichts)\b",
            r"ich habe (?:\w+ ){0,3}(?:keine?|nicht) (?:\w+ ){0,2}(?:ahnung|information\w*|daten|antwort|kenntnis\w*|"
            r"angaben|zugriff|gehort)",
            r"ich habe (?:noch )?nie (?:\w+ ){0,3}gehort",
            r"ich bin (?:mir )?(?:\w+ ){0,3}(?:nicht|un)(?: ganz)? ?(?:sicher|gewiss)",
            r"ich kann (?:\w+ ){0,5}nicht (?:\w+ )?(?:sagen|beantworten|finden|bestatigen|beurteilen|erinnern|"
            r"bestimmen|angeben)",
            r"(?:keine ahnung|weiss nicht|weiss ich nicht|nicht bekannt|unbekannt)\b",
            r"(?:so etwas|das|diese[rsn]?(?: \w+)?|es|ein\w* solche[rsn]? \w+) (?:gibt|gab|existiert|"
            r"existierte) (?:es )?(?:\w+ )?nicht",
            r"es gibt (?:\w+ )?(?:keine?n?|nicht) (?:\w+ ){0,3}(?:namens|mit|solche\w*|information\w*|angaben|der|"
            r"die|das|in|von|daten|antwort|hinweise?|belege?)\b",
            r"(?:daruber|dazu|hierzu|davon) (?:habe|weiss|liegen) (?:\w+ ){0,3}(?:keine?|nichts|nicht)",
        ),
        ends=(r"(?:existiert|existierte|gibt es|gab es)(?: \w+)? nicht",),
        refuses=(
            r"(?:das|dabei|hierbei|damit|dazu|daran) (?:kann|darf|werde|mochte|will) ich (?:\w+ ){0,4}nicht",
            r"ich (?:kann|darf|werde|mochte|will) (?:\w+ ){0,6}(?:nicht|keine?n?)\b(?! \w*schlafen)",
            r"ich (?:lehne|weigere)\b",
            r"ich bin nicht (?:in der lage|bereit|befugt)",
        ),
        whole=(r"keine(?:r|s)?|niemand|unbekannt|unklar|k\. ?a|keine angabe|keine antwort|nicht bekannt",),
    ),
    "fr": Phrases(
        opening=r"(?:(?:je suis |vraiment )?desolee?|pardon|malheureusement|helas|excusez-moi|je regrette|"
        r"je m'excuse|non|mais|honnetement|en tant qu[^,.]*|je crains(?: que)?|"
        r"a ma connaissance)[,.!:]? ?(?:mais |que )?",
        begins=(
            r"(?:je|j')(?: ?n'?e?)? ?(?:sais|en sais|connais|me souviens|le sais|la connais|le connais|"
            r"m'en souviens) (?:\w+ )?(?:pas|rien|plus|aucune?)\b",
            r"(?:je |j')(?:n'|ne )?(?:ai|dispose|possede|trouve) (?:pas|aucune?|jamais)\b(?! (?:faim|peur|soif|mal|"
            r"le temps))(?:[^.]{0,40}?\b(?:idee|information\w*|reponse|donnees?|connaissance|entendu|trouve|acces|"
            r"souvenir|certitude|trace))",
            r"(?:je |j')?(?:n')?ai aucune (?:idee|information|reponse|donnee|connaissance)",
            r"je (?:ne )?(?:suis|serais) pas (?:\w+ )?(?:sure?|certaine?|au courant|familier|familiere|en mesure|"
            r"capable)",
            r"je (?:ne )?(?:peux|pourrais|puis) pas (?:\w+ )?(?:dire|repondre|confirmer|trouver|verifier|identifier|"
            r"savoir|me souvenir|determiner)",
            r"(?:aucune idee|je l'ignore|j'ignore|on ne sait pas|personne ne sait|nul ne sait|inconnue?)\b",
            r"(?:il|ca|cela|elle|ce \w+|cette \w+) n'?(?:existe|existait|y a) (?:pas|aucune?)\b",
            r"(?:il )?n'?y a (?:pas|aucune?) (?:d'|de )?(?:\w+ ){0,3}(?:information\w*|reponse|tel\w*|nommee?|"
            r"appelee?|qui|que|portant|dans|donnees?)",
        ),
        ends=(r"n'(?:existe|existait|a jamais existe) ?(?:pas)?",),
        refuses=(
            r"je (?:ne )?(?:peux|pourrais|puis|veux|vais|souhaite|dois|saurais) (?:pas|"
            r"malheureusement pas)? ?(?:\w+ )?(?:pas )?(?:vous |t'|te |l')?(?:aider|fournir|donner|partager|repondre|"
            r"divulguer|reveler|creer|ecrire|generer|faire|discuter|participer|assister|communiquer|satisfaire|"
            r"soutenir)",
            r"je refuse\b|je dois (?:refuser|decliner)",
            r"je ne suis pas (?:autorisee?|en mesure|a l'aise|capable|disposee?)",
        ),
        whole=(r"aucune?|personne|inconnue?|inconnus?|pas de reponse|non connu|indetermine|je sais pas",),
    ),
    "es": Phrases(
        opening=r"(?:lo siento(?: mucho)?|perdon(?:a|e)?|disculp[ae]|lamentablemente|desafortunadamente|"
        r"por desgracia|lamento|me temo(?: que)?|no|pero|sinceramente|la verdad|honestamente|como (?:ia|"
        r"modelo|asistente|inteligencia)[^,.]*|que yo sepa)[,.!:]? ?(?:pero |que )?",
        begins=(
            r"(?:yo )?(?:la verdad )?no (?:lo |la |los |me |le )?(?:se|conozco|recuerdo|acuerdo|sabria|"
            r"sabemos)\b(?! (?:puede|trata|si mismo))",
            r"(?:yo )?no (?:tengo|dispongo|cuento|poseo|encuentro|encontre|he (?:encontrado|oido)|hay)(?: con|"
            r" de)? (?:\w+ ){0,4}?(?:idea|informacion|datos|respuesta|conocimiento|registros?|constancia|acceso|"
            r"hablar|certeza|ningun\w*|llamad[oa]|tal\b|que\b)",
            r"no tengo (?:ni idea|idea)|ni idea\b",
            r"(?:yo )?no estoy (?:\w+ )?(?:segur[oa]|familiarizad[oa]|al tanto|en condiciones)",
            r"(?:yo )?no (?:puedo|podria|pude) (?:\w+ )?(?:decir\w*|responder|confirmar|encontrar\w*|verificar|"
            r"identificar|saber\w*|recordar|determinar|asegurar)",
            r"(?:desconozco|ignoro|se desconoce|nadie (?:lo )?sabe|no se sabe|es desconocid[oa])\b",
            r"(?:nunca|jamas) (?:he )?(?:oido|escuchado)",
            r"(?:eso|esa? \w+|ese|esto|este \w+|esta \w+)? ?no exist(?:e|en|io|ia)\b",
        ),
        ends=(r"no exist(?:e|en|io|ia)",),
        refuses=(
            r"(?:yo )?no (?:puedo|podre|voy a|quiero|debo|podria|deseo) (?:\w+ )?(?:ayudar\w*|proporcionar\w*|dar\w*|"
            r"compartir\w*|responder\w*|revelar\w*|crear\w*|escribir\w*|generar\w*|hacer\w*|hablar|discutir|"
            r"participar|asistir\w*|ofrecer\w*|cumplir|apoyar|divulgar|brindar\w*|facilitar\w*)",
            r"me niego\b|debo (?:negarme|rechazar|declinar)",
            r"no (?:estoy|me siento) (?:autorizad[oa]|comod[oa]|capacitad[oa]|dispuest[oa])",
        ),
        whole=(r"ningun[oa]?|nadie|desconocid[oa]|se desconoce|no se sabe|sin respuesta|no lo se|no se",),
    ),
    "it": Phrases(
        opening=r"(?:mi (?:dispiace|spiace)|scusa(?:mi|te|ti)?|scusi|purtroppo|sfortunatamente|no|ma|sinceramente|"
        r"onestamente|come (?:ia|modello|assistente|intelligenza)[^,.]*|temo(?: che)?|"
        r"che io sappia)[,.!:]? ?(?:ma |che )?",
        begins=(
            r"(?:io )?(?:non|nn) (?:lo |la |li |ne |mi |me lo )?(?:so|conosco|ricordo|saprei|sappiamo)\b",
            r"(?:io )?non (?:ho|dispongo|possiedo|trovo|ho trovato|ci sono|c'e|esistono) (?:\w+ ){0,3}?(?:idea|"
            r"informazion\w*|dat[io]|rispost[ae]|conoscenz\w*|accesso|sentito|alcun\w*|nessun\w*|chiamat[oa]|che)\b",
            r"(?:nessuna idea|non ne ho idea|boh)\b",
            r"(?:io )?non (?:sono|ne sono) (?:\w+ )?(?:sicur[oa]|cert[oa]|a conoscenza|in grado|al corrente)",
            r"(?:io )?non (?:posso|potrei|riesco)(?: a)? (?:\w+ )?(?:dir\w*|rispondere|confermare|trovar\w*|"
            r"verificare|identificare|ricordar\w*|saper\w*|determinare)",
            r"(?:nessuno lo sa|non si sa|ignoro|e sconosciut[oa])\b",
            r"(?:quest[oa](?: \w+)?|quell[oa](?: \w+)?)? ?non esist(?:e|ono|eva)\b",
        ),
        ends=(r"non (?:e mai )?esist(?:e|ono|eva|ito)",),
        refuses=(
            r"(?:io )?non (?:posso|potro|voglio|intendo|devo|sono in grado di|riesco ad?) (?:\w+ )?(?:aiutar\w*|"
            r"fornir\w*|dar\w*|condivider\w*|risponder\w*|rivelar\w*|crear\w*|scriver\w*|generar\w*|far\w*|"
            r"discuter\w*|partecipar\w*|assister\w*|soddisfar\w*|divulgar\w*|offrir\w*)",
            r"mi rifiuto\b|devo (?:rifiutare|declinare)",
            r"non (?:sono|mi sento) (?:autorizzat[oa]|a mio agio|dispost[oa])",
        ),
        whole=(r"nessun[oa]?|sconosciut[oa]|ignot[oa]|non so|non lo so|non noto|nessuna risposta",),
    ),
    "pt": Phrases(
        opening=r"(?:(?:eu )?sinto muito|desculp[ea](?:-me)?|perdao|infelizmente|lamento|lamentavelmente|receio que|"
        r"nao|mas|sinceramente|honestamente|como (?:ia|modelo|assistente|uma? ia|inteligencia)[^,.]*|"
        r"que eu saiba)[,.!:]? ?(?:mas |que )?",
        begins=(
            r"(?:eu )?nao (?:o |a |me |te )?(?:sei|conheco|lembro|recordo|saberia|sabemos)\b",
            r"(?:eu )?nao (?:tenho|disponho|possuo|encontrei|ha|existem|existe)(?: de)? (?:\w+ ){0,3}?(?:ideia|"
            r"informac\w*|dados|resposta|conhecimento|registros?|registos?|acesso|certeza|nenhum\w*|chamad[oa]|que)\b",
            r"(?:nao faco ideia|nao faco a menor ideia|sem ideia)\b",
            r"(?:eu )?nao (?:estou|tenho) (?:\w+ )?(?:cert[oa]|segur[oa]|certeza|familiarizad[oa]|a par|ciente)",
            r"(?:eu )?nao (?:posso|poderia|consigo|consegui) (?:\w+ )?(?:dizer|responder|confirmar|encontrar|"
            r"verificar|identificar|saber|lembrar|determinar|afirmar)",
            r"(?:desconheco|ninguem sabe|nao se sabe|e desconhecid[oa]|ignoro)\b",
            r"nunca (?:ouvi|escutei)",
            r"(?:ess[ea](?: \w+)?|est[ea](?: \w+)?|isso|isto)? ?nao exist(?:e|em|iu|ia)\b",
        ),
        ends=(r"nao exist(?:e|em|iu|ia)",),
        refuses=(
            r"(?:eu )?nao (?:posso|poderei|vou|quero|devo|consigo|irei) (?:\w+ )?(?:ajudar\w*|ajuda-l\w+|fornecer|"
            r"dar|partilhar|compartilhar|responder|revelar|criar|escrever|gerar|fazer|discutir|participar|auxiliar|"
            r"atender|apoiar|divulgar|oferecer)",
            r"(?:eu )?(?:recuso-me|me recuso)\b|devo (?:recusar|declinar)",
            r"nao (?:estou|me sinto) (?:autorizad[oa]|a vontade|confortavel|dispost[oa])",
        ),
        whole=(r"nenhum[a]?|ninguem|desconhecid[oa]|nao sei|nao se sabe|sem resposta",),
    ),
    "nl": Phrases(
        opening=r"(?:het spijt me|sorry|helaas|excuses|mijn excuses|pardon|eerlijk gezegd|nee|maar|jammer genoeg|"
        r"ik ben bang(?: dat)?|als (?:ai|taalmodel|een ai)[^,.]*)[,.!:]? ?(?:maar |dat )?",
        begins=(
            r"(?:dat |dit |het )?weet ik (?:het |helaas |echt |ook )*niet",
            r"(?:ik )?(?:weet|ken|herinner) (?:\w+ ){0,4}niet\b",
            r"ik (?:weet|ken) (?:\w+ ){0,2}(?:geen|niets)\b",
            r"ik heb (?:\w+ ){0,2}(?:geen|niet|nooit) (?:\w+ ){0,3}(?:idee|informatie|gegevens|antwoord|kennis|"
            r"toegang|gehoord)",
            r"ik ben (?:er )?(?:\w+ )?(?:niet|on)(?: helemaal)? ?(?:zeker|bekend|op de hoogte)",
            r"ik kan (?:\w+ ){0,5}niet (?:\w+ )?(?:zeggen|beantwoorden|vinden|bevestigen|herinneren|bepalen|"
            r"verifieren)",
            r"(?:geen idee|weet niet|onbekend|niemand weet|niet bekend)\b",
            r"(?:dat|dit|die|deze|zo'n)(?: \w+)? (?:bestaat|bestond) (?:\w+ )?niet",
            r"er (?:is|zijn|bestaat) geen (?:\w+ ){0,3}(?:informatie|genaamd|met|die|dat|antwoord|gegevens|bekend|"
            r"van|in)\b",
        ),
        ends=(r"(?:bestaat|bestond|bestaan)(?: \w+)? niet",),
        refuses=(
            r"(?:daar|dat|hier|dit)(?: \w+)? (?:kan|mag|zal|wil) ik (?:\w+ ){0,4}niet",
            r"ik (?:kan|mag|zal|wil|ga) (?:\w+ ){0,6}(?:niet|geen)\b",
            r"ik weiger\b|ik moet weigeren",
            r"ik ben niet (?:in staat|bevoegd|bereid)",
        ),
        whole=(r"geen|niemand|onbekend|geen antwoord|niet bekend|weet ik niet",),
    ),
    "ru": Phrases(
        opening=r"(?:к сожалению|извините|извини|простите|прости|увы|прошу прощения|мне (?:очень )?жаль|"
        r"честно говоря|боюсь|нет|но|как (?:ии|языковая модель|"
        r"искусственный интеллект)[^,.]*)[,.!:]? ?(?:но |что )?",
        begins=(
            r"(?:я )?(?:этого |об этом |точно |пока |ничего |даже |просто )*не (?:знаю|помню|знаком|знакома|уверен|"
            r"уверена|припомню|припоминаю|в курсе|слышал|слышала|нашел|нашла)\b",
            r"у меня нет (?:\w+ ){0,3}(?:информации|данных|ответа|сведений|доступа|знаний|представления)",
            r"(?:я )?не (?:могу|смог|смогла|сумел) (?:\w+ ){0,3}(?:сказать|ответить|найти|подтвердить|вспомнить|"
            r"определить|проверить|назвать)",
            r"(?:я )?(?:никогда|ничего) (?:об этом |о \w+ )?не (?:слышал|слышала|знаю)",
            r"(?:мне (?:это |об этом )?(?:не ?известно|ничего не известно)|не ?известно|никто не знает|"
            r"понятия не имею|без понятия|затрудняюсь)\b",
            r"(?:так\w+ \w+|это\w* ?\w*|он\w?) (?:никогда )?не (?:существует|существовал\w?|существуют)",
            r"не существует\b",
            r"(?:информаци\w+|данных|сведений) (?:\w+ ){0,3}(?:нет|не найден\w*|отсутству\w+)",
        ),
        ends=(r"не (?:существует|существовал\w?|существуют)",),
        refuses=(
            r"(?:я )?(?:\w+ )?не (?:могу|буду|стану|хочу|смогу|имею права|должен|должна) (?:\w+ ){0,3}?(?:помо\w+|"
            r"помогать|предостав\w+|дать|давать|делиться|поделиться|отве\w+|раскр\w+|созда\w+|напис\w+|писать|"
            r"генерир\w+|сгенерир\w+|сделать|обсуждать|участвовать|выполн\w+|поддерж\w+)",
            r"(?:я )?(?:отказываюсь|вынужден\w? отказать\w*)\b",
        ),
        whole=(r"никто|ничего|нет ответа|неизвестно|неизвестен|неизвестный|не знаю|нет данных|нет информации",),
    ),
    "zh": Phrases(
        opening=(
            r"(?:很抱歉|非常抱歉|抱歉|对不起|對不起|不好意思|遗憾的是|遺憾的是|很遗憾|不幸的是|作为[^,,。]*|"
            r"作為[^,,。]*|但是?|可是|其实|不)[,,。!!、 ]*"
        ),
        begins=(
            r"(?:我|本人)?(?:也|真的|并|確實|确实|目前|暂时|还|還|完全)?(?:不知道|不清楚|不了解|不確定|不确定|"
            r"不记得|不記得|不认识|不認識|没听说|沒聽說|没有听说|沒有聽說|不太清楚|"
            r"不太确定|不太確定|不知)",
            r"(?:我)?(?:目前|暂时)?(?:没有|沒有|没|沒|缺乏|找不到|未找到|查不到)(?:任何|足够的?|相关的?|相關的?|"
            r"关于[^。]{0,20}的|這方面的|这方面的|具体的?|"
            r"此类)*(?:信息|資訊|资讯|资料|資料|数据|數據|答案|记录|記錄|证据|線索|线索)",
            r"(?:我)?(?:无法|無法|不能|难以|難以)(?:\w{0,8})?(?:回答|确定|確定|确认|確認|知道|找到|验证|驗證|"
            r"判断|判斷|得知|核实|提供(?:答案|信息))",
            r"(?:没有|沒有|并没有|不存在)(?:这个|這個|这样的?|這樣的?|这种|叫|名为|名為|所谓|任何)",
            r"(?:这个|這個|该|該|此|这|這)\w{0,8}(?:不存在|并不存在|未知|不明)",
            r"(?:无人知晓|没有人知道|没人知道|沒有人知道|未知|不明|不详|不詳)(?=$|[。,,!])",
        ),
        ends=(r"(?:并|並)?不存在(?:的)?",),
        refuses=(
            r"(?:我|本人)?(?:恐怕|很遗憾)?(?:无法|無法|不能|不会|不會|不可以|不便|拒绝|拒絕|没办法|沒辦法|"
            r"不愿)(?:\w{0,12})?(?:帮助|幫助|帮|幫|协助|協助|提供|透露|分享|"
            r"告诉|告訴|回答|创建|生成|写|寫|满足|滿足|讨论|討論|参与|支持|执行|配合|给)",
            r"我(?:拒绝|拒絕)",
        ),
        whole=(r"无|無|没有|沒有|未知|不详|不明|无答案|不存在|不知道|无人|没有人",),
    ),
    "ja": Phrases(
        opening=(
            r"(?:申し訳(?:ありません|ございません|ない)(?:が|けど)?|すみません(?:が)?|すいません|ごめんなさい|"
            r"残念ながら|恐れ入りますが|あいにく|正直|いいえ|しかし|ただし|でも|"
            r"私は?|僕は?|aiとして[^、。]*)[、,。!! ]*"
        ),
        begins=(
            r"[^。、「」]{0,16}?(?:知りません|知らない|存じません|存じ上げません|分かりません|わかりません|"
            r"分からない|わからない|判りません|覚えていません|覚えていない|不明です|"
            r"聞いたことがありません|把握していません)",
            r"[^。「」]{0,30}?(?:情報|データ|記録|答え|資料|知識|回答)(?:は|が|を)?(?:ありません|ございません|"
            r"持っていません|持ち合わせていません|見つかりません|見つかりませんでした|"
            r"ない)",
            r"[^。「」]{0,30}?(?:確信が(?:ありません|持てません)|確認できません|見つけられません|特定できません|"
            r"お答えできません|答えられません|回答できません|判断できません)",
            r"[^。「」]{0,40}?(?:存在しません|存在しない|実在しません|実在しない)",
            r"(?:不明|未知|さあ)(?=$|[。、!])",
        ),
        ends=(r"(?:は|が)?(?:存在しません|存在しない|実在しません|実在しない|ありません)",),
        refuses=(
            r"[^。「」]{0,40}?(?:お手伝い|お答え|ご提供|提供|お教え|ご案内|協力|支援|作成|対応|回答|共有|生成|"
            r"お応え|開示|説明)(?:する|すること|いたす)?(?:は|が|"
            r"も)?(?:でき(?:ません|ない|かねます)|いたしかねます|しかねます|致しかねます|しません|いたしません)",
            r"[^。「」]{0,30}?(?:お断り|拒否)(?:します|いたします|する)",
        ),
        whole=(r"なし|無し|不明|未知|該当なし|誰も|わからない|分からない|知らない|いない|特になし",),
    ),
    "ko": Phrases(
        opening=(
            r"(?:죄송(?:합니다|하지만|해요)(?:만)?|미안(?:합니다|하지만|해요|해)|유감스럽게도|안타깝게도|"
            r"아쉽게도|아니요|하지만|그러나|솔직히|저는|나는|제가|내가|"
            r"ai로서[^,.]*)[,.! ]*"
        ),
        begins=(
            r"(?:\w+ ){0,4}?(?:잘 )?(?:모르겠습니다|모르겠어요?|모릅니다|몰라요?|모르겠네요|모르겠다|모른다|"
            r"알지 못합니다|알지 못해요|알 수 없습니다|알 수 없어요|알 수 없다|"
            r"기억나지 않습니다|기억이 나지 않습니다|들어본 적이 없습니다|확실하지 않습니다|확실치 않습니다)",
            r"(?:\S+ ){0,5}?(?:정보|자료|데이터|답|답변|기록|지식)(?:가|이|은|는|를|을)? ?(?:\w+ )?(?:없습니다|"
            r"없어요|없다|찾을 수 없습니다|부족합니다|"
            r"갖고 있지 않습니다|가지고 있지 않습니다)",
            r"(?:\S+ ){0,5}?(?:확인할|찾을|답할|대답할|답변할|말할|판단할) 수(?:가|는)? 없(?:습니다|어요|다|네요)",
            r"(?:\S+ ){0,5}?(?:존재하지 않(?:습니다|아요|는다)|실존하지 않습니다)",
            r"(?:알려지지 않았습니다|불명|미상)(?=$|[.,])",
        ),
        ends=(r"(?:존재하지 않(?:습니다|아요|는다)|실존하지 않습니다)",),
        refuses=(
            r"(?:\S+ ){0,6}?(?:도와드릴|도울|제공할|제공해 드릴|알려드릴|공유할|답변드릴|작성할|만들|생성할|"
            r"지원할|응할|밝힐|드릴|따를) 수(?:가|는)? 없(?:습니다|어요|다)",
            r"(?:\S+ ){0,5}?(?:거부|거절)(?:합니다|하겠습니다|해야 합니다)",
        ),
        whole=(r"없음|없습니다|모름|알 수 없음|미상|불명|아무도|해당 없음|모르겠습니다",),
    ),
    "hi": Phrases(
        opening=r"(?:मुझे खेद है|माफ़? ?(?:कीजिए|कीजिएगा|करें|कीजिये)|माफ़ी|क्षमा (?:करें|कीजिए)|दुर्भाग्य से|"
        r"दुर्भाग्यवश|नहीं|लेकिन|परंतु|सच कहूं तो|एक एआई[^,।]*)[,।! ]*(?:कि |लेकिन |परंतु |पर )?",
        begins=(
            r"(?:मुझे|मैं|हमें|मुझको)? ?(?:\S+ ){0,4}?(?:नहीं (?:पता|मालूम|जानता|जानती|जानते|याद)|पता नहीं|"
            r"मालूम नहीं|याद नहीं|जानकारी नहीं|ज्ञात नहीं|यकीन नहीं|निश्चित नहीं|सुना नहीं|नहीं सुना)",
            r"(?:मेरे पास|मुझे) (?:\S+ ){0,5}?(?:जानकारी|सूचना|उत्तर|जवाब|डेटा|आंकड़े) (?:\S+ )?(?:नहीं|उपलब्ध नहीं)",
            r"मैं (?:\S+ ){0,5}?(?:बता|कह|ढूंढ|ढूँढ|खोज|पुष्टि|उत्तर|जवाब)(?: \S+)? (?:नहीं|नही) (?:सकता|सकती|सकते|"
            r"पाया|पाई)",
            r"(?:ऐसा|ऐसी|ऐसे|यह|इस नाम) (?:\S+ ){0,4}?(?:नहीं है|मौजूद नहीं|अस्तित्व नहीं)",
            r"(?:कोई नहीं जानता|अज्ञात|किसी को नहीं पता)(?=$|[।.,! ])",
        ),
        ends=(r"(?:मौजूद नहीं है|अस्तित्व में नहीं है|का (?:कोई )?अस्तित्व नहीं है)",),
        refuses=(
            r"मैं (?:\S+ ){0,8}?(?:मदद|सहायता|प्रदान|साझा|दे|बता|लिख|बना|कर|उत्तर|समर्थन)(?: \S+){0,2}? नहीं (?:कर |"
            r"दे )?(?:सकता|सकती|सकते|करूंगा|करूंगी|करूँगा|दूंगा|दूंगी|दूँगा)",
            r"मैं (?:\S+ ){0,3}?(?:इनकार|मना) कर",
        ),
        whole=(r"कोई नहीं|अज्ञात|पता नहीं|मालूम नहीं|नहीं पता|उपलब्ध नहीं|कुछ नहीं",),
    ),
    "ar": Phrases(
        opening=r"(?:عذرا|اسف|انا اسف|اسفة|نعتذر|اعتذر|للاسف|مع الاسف|المعذرة|معذرة|لا|لكن|ولكن|في الحقيقة|بصراحة|"
        r"كنموذج[^,،.]*|بصفتي[^,،.]*)[,،.! ]*(?:و?لكن(?:ني)? |فانا |فانني )?",
        begins=(
            r"(?:انا |انني |اني )?(?:حقا |للاسف )?(?:لا|لم|لست|ليس) (?:\w+ )?(?:اعرف|اعلم|ادري|اتذكر|اذكر|اسمع|"
            r"متاكد\w?|واثق\w?|ملم\w?|علي علم|علي دراية|لدي علم|لدي فكرة|لدي (?:اي )?(?:معلومات|بيانات|اجابة|معرفة)|"
            r"عندي (?:فكرة|علم|معلومات)|املك (?:\w+ )?(?:معلومات|معرفة|بيانات|اجابة)|اجد)\b",
            r"ليس(?:ت)? (?:لدي|عندي|لدينا) (?:اي )?(?:\w+ )?(?:معلومات|بيانات|اجابة|فكرة|علم|معرفة)",
            r"لا (?:تتوفر|توجد|يوجد|تتوافر) (?:\w+ ){0,3}?(?:معلومات|بيانات|اجابة|سجل\w*|باسم|بهذا|يسمي|تسمي|دليل|"
            r"كهذا)",
            r"(?:لا|لم) (?:يمكنني|استطيع|اتمكن|يمكن|استطع) (?:\w+ ){0,2}?(?:\w*الاجابة|اجابة|تاكيد|التاكد|تحديد|"
            r"العثور|معرفة|القول|التحقق|الجزم|ان اجيب|ان احدد)",
            r"(?:لا احد يعرف|غير معروف|مجهول|غير متوفر)\b",
            r"(?:هذ[اه] \w+ |هو |هي )?(?:غير موجود\w?|لا وجود ل\w+|لا يوجد شيء|ليس موجودا|ليس له وجود)\b",
        ),
        ends=(r"(?:غير موجود[ةه]?|ليس موجودا|لا وجود له[ا]?|غير حقيقي[ةه]?)",),
        refuses=(
            r"(?:انا |انني )?(?:لا|لن|لم) (?:يمكنني|استطيع|اقدر|اتمكن من|اقوم|يسعني) (?:\w+ ){0,2}?\w*(?:مساعد\w+|"
            r"تقديم|توفير|مشاركة|اعطاء|الاجابة|كشف|انشاء|كتابة|تلبية|الكشف|دعم|اساعد\w?|اقدم|مناقشة|القيام|ذلك|هذا)",
            r"لن (?:اساعد\w*|اقدم|اشارك|اجيب|اكشف|افعل|اكتب)",
            r"(?:ارفض|اعتذر عن|يجب ان ارفض)\b",
        ),
        whole=(r"لا احد|لا شيء|غير معروف|مجهول|لا يوجد|لا توجد اجابة|لا اعرف|لا اعلم|غير متوفر",),
    ),
}


def add_phrases(language: str, phrases: Phrases) -> None:
    """Let replies in one more language be read, or add to what is known of one.

    >>> add_phrases("sv", Phrases(begins=("jag vet inte",), refuses=("jag kan inte hjalpa",)))
    >>> abstains("Jag vet inte.")
    True
    """
    known = PHRASES.get(language, Phrases())
    openings = [part for part in (known.opening, phrases.opening) if part]
    PHRASES[language] = Phrases(
        "|".join(f"(?:{part})" for part in openings),
        known.begins + phrases.begins,
        known.ends + phrases.ends,
        known.refuses + phrases.refuses,
        known.whole + phrases.whole,
    )
    for kept in (_compiled, abstains, refuses):
        kept.cache_clear()


_QUOTED = regex.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』")
_SENTENCE = regex.compile(r"(?:[^.!?。।؟\n]|[.!?](?=[^\s\p{Lo}\"'*)]))+[.!?。।؟]*")
_CLAUSE = regex.compile(r"^|[,;:、،—] ?|(?<= )(?=(?:but|although|though|however|because) )|\) ?|- ")
_EDGES = " \t\n.,!?。।؟…*_\"'“”„«»「」()[]-:;"
_ONE_WORD = regex.compile(r"[\p{L}\p{M}'’]+")
_AS_TITLE = 2  # words with a capital, beside the first, and none without: "No Such Thing", "I Can't Tell You Why"


@lru_cache
def _compiled(kind: str) -> regex.Pattern[str]:
    """All languages' phrases of one kind as one expression."""
    parts = []
    for language in PHRASES.values():
        some = "|".join(getattr(language, kind))
        if not some:
            continue
        opening = f"(?:{language.opening})?" if kind in ("begins", "refuses") else ""
        parts.append(f"{opening}(?:{some})")
    either = "|".join(parts)
    return regex.compile(rf"(?<!\w (?:that|which|who) )\b(?:{either})[\W_]*$" if kind == "ends" else f"(?:{either})")


def _is_title(words: str) -> bool:
    """Are these words written as titles are, so that they name something?"""
    after_first = _ONE_WORD.findall(words)[1:]
    capital = [word[0].isupper() and not word.isupper() for word in after_first]
    return sum(capital) >= _AS_TITLE and all(c for c, word in zip(capital, after_first, strict=True) if len(word) > 3)


def _sentences(text: str) -> list[str]:
    """The sentences of a reply in plain letters, its quotations left out: what is quoted was not said."""
    plain, _ = fold(_QUOTED.sub(" ", text))
    return [found.group().strip(" \t*_#>-") for found in _SENTENCE.finditer(plain)]


def _says(text: str, kind: str) -> bool:
    """Does a sentence, or a part of one, begin so?"""
    pattern = _compiled(kind)
    for sentence in _sentences(text):
        small = sentence.lower()
        for start in _CLAUSE.finditer(small):
            found = pattern.match(small, start.end())
            if found and not _is_title(sentence[found.start() :]) and not _is_title(sentence[slice(*found.span())]):
                return True
    return False


def _denies(text: str) -> bool:
    """Does a sentence end by saying that what it is about does not exist?"""
    for sentence in _sentences(text):
        found = _compiled("ends").search(sentence.lower())
        words = sentence[found.start() :] if found else ""
        first = found is not None and found.start() == 0
        if found and not _is_title(words if first else f"x {words}"):
            return True
    return False


def _is_whole(text: str) -> bool:
    said = fold(text)[0].strip(_EDGES)
    return bool(_compiled("whole").fullmatch(said.lower()))


@lru_cache(maxsize=100_000)  # answers to a question are often the same
def refuses(text: str) -> bool:
    """Does the reply decline to help ("I can't create content that ...", "I won't engage with that")?

    It reads how sentences begin. What stands in quotation marks or is written as a title does not count.
    """
    return _says(text, "refuses")


@lru_cache(maxsize=100_000)
def abstains(text: str) -> bool:
    """Does the reply give no answer: it does not know, says that there is no such thing, or declines; or is empty?

    A guess behind a doubt ("I'm not sure, but perhaps Paris") counts as none, too.
    """
    if not text.strip(_EDGES):
        return True
    return _is_whole(text) or _says(text, "begins") or _denies(text) or refuses(text)
