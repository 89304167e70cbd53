"""What providers call the same thing: codes, and words where there is no code. What follows from it says refusals.py.

Each pattern is searched in all that a complaint says. The tests have the sentences that they were made for.
"""

from __future__ import annotations

import re

#: Codes and types of an error for which its status, or there being none, says less.
STATUS_OF_CODE = {
    "insufficient_quota": 402,
    "credit_balance_exhausted": 402,
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "exceeded_current_quota_error": 402,
    "insufficient_balance": 402,
    "budget_exceeded": 402,
    "account_deactivated": 403,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "model_decommissioned": 404,
    "model_not_available": 404,
    "model_terms_required": 403,
    "deploymentnotfound": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "bad_request": 400,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "overloaded_error": 503,
    "service_unavailable": 503,
}
#: Codes that mean what they say whatever the status is.
STRONG = {code for code, status in STATUS_OF_CODE.items() if status in {401, 402, 403, 404}}
#: MiniMax's numbers.
STATUS_OF_NUMBER = {1002: 429, 1004: 401, 1008: 402, 1039: 429, 2013: 400, 2049: 401}

TOO_LONG = re.compile(
    r"context[_ -]?(length|window|size|limit)|exceed_context|reduce (the length|your (message|prompt|input))|request too large"
    r"|(prompt|input|request|messages?) (is|are) too (long|large)|string_above_max_length"
    r"|too many (input |prompt )?tokens(?! processed|,? please wait| per )"
    r"|input (token count|length).{0,60}exceed|exceeds? the (maximum|max) (number of )?(input )?tokens"
    r"|inputs?`? tokens \+|maximum (prompt|input) length|entity too large|payload too large|token limit exceeded",
    re.I,
)
#: The same, in words that a limit on requests in a minute may have as well (429).
TOO_LONG_UNLESS_BUSY = re.compile(
    r"max(imum)? (\w+ ){0,2}(model|message|input|prompt|sequence|context) (length|tokens|size)|exceed\w* (\w+ ){0,3}tokens? limit"
    r"|(prompt|input|messages?|conversation) (length )?exceeds? (the )?(max|limit|allowed)|range of input length"
    r"|(prompt|input) token count|inputs?`? must have (less|fewer) than \d+ tokens|\bn_(keep|ctx)\b|context shift"
    r"|must be (at least 1|greater than 0|positive).{0,20}-\d|(输入|上下文|提示).{0,8}(过长|超)|超[过出].{0,6}(最大|上限|长度)"
    r"|prompt ?超长",
    re.I,
)
#: More of them, and in other languages: gateways translate what their vendors say.
TOO_LONG_ELSEWHERE = re.compile(
    r"\b(prompt|input|text|conversation|messages?|request body)( tokens?)? (is |are )?too (long|large)|tokens limit exceeded"
    r"|input tokens exceed|max tokens of \d+ exceeded|exceeded max tokens|max_seq_len|sequence length \d+ exceeds"
    r"|input tokens must be no more|number of tokens .{0,30}must be (less|at most|<)|at most \d+ tokens, but \d+"
    r"|longer than the model.s context|payload size exceeds|tokens, which exceeds|maximum (request size|input) is \d"
    r"|string too long.{0,60}maximum length \d{5}"
    r"|(输入|请求|内容|文本|消息|tokens?).{0,8}(过长|太长|超限|超长)"
    r"|最大上下文"
    r"|(入力|プロンプト|トークン|コンテキスト).{0,8}(長すぎ|超え)"
    r"|(입력|프롬프트|토큰|컨텍스트).{0,15}(초과|너무 [길깁])"
    r"|(eingabe|anfrage|nachricht|prompt|text)\w* (ist|sind) zu lang"
    r"|kontext(länge|fenster|größe)|(contexte|entrée|requête|message|prompt) est trop long|(longueur|fenêtre) .{0,12}contexte"
    r"|(entrada|contexto|mensaje|solicitud|prompt) es demasiado larg"
    r"|(longitud|ventana|comprimento|janela|tamanho) .{0,12}contexto"
    r"|(prompt|entrada|contexto|mensagem) é (muito|demasiado) long|(input|prompt|messaggio|contesto) è troppo lung"
    r"|(lunghezza|finestra) .{0,12}contesto|(контекст|запрос|промпт|токен|сообщени)\w*.{0,30}(превыш|слишком длин)"
    r"|(превыш|слишком длин)\w*.{0,40}(контекст|запрос|промпт|токен)|(istem|girdi|mesaj) çok uzun|bağlam (uzunlu|pencere)"
    r"|zbyt dług\w+ (prompt|zapytan|wiadomo|tekst)|(okn|długoś)\w+ kontekstu|طول السياق",
    re.I,
)
FILTERED = re.compile(
    r"content[_ ]?(filter|policy|management)|responsibleai|requires moderation|was flagged|safety[_ ](system|check)"
    r"|(content|prompt|input|request|message|output|text)s?\b.{0,40}\bviolat\w* .{0,40}(polic|guideline|terms|safety)"
    r"|\b(prompt|response|content|output|answer) (is |was |has been )?blocked|blocked by .{0,20}(moderation|safety)"
    r"|considered high risk|data_?inspection_?failed|inappropriate content|content exists risk|guardrail|moderation_blocked"
    r"|sensitive (content|words|information)|敏感|不安全|违规",
    re.I,
)
#: What is used up and has to be paid for, and not only waited for.
SPENT = re.compile(
    r"credit balance|\b(all|no|insufficient|not enough|out of|more) (\w+ ){0,2}credits\b"
    r"|credits (\w+ ){1,3}(depleted|exhausted|used)|spending (limit|cap)|insufficient (\w+ )?balance"
    r"|balance (\w+ ){0,2}(insufficient|not enough|exhausted|too low)|arrearage|service has been paused|, limit: 0\b"
    r"|quota is not enough|余额不足|欠费|额度(已?(用尽|用完|耗尽)|不足)",
    re.I,
)
#: A refusal with status 400 that is about the account or the model all the same.
ABOUT_THE_PROVIDER = re.compile(
    r"api[ _-]?key|billing|quota|invalid model|model[_ ]not[_ ]found|decommissioned|usage limits?\b|terms acceptance"
    r"|model\b.{0,80}(not found|does not exist|not exist|not a valid|is not available|deprecated|retired|not supported by)"
    r"|not a valid model|(account|organi[sz]ation)\b.{0,40}(suspended|restricted|disabled|deactivated)"
    r"|budget has been exceeded|location is not supported|unable to access|failed to load|throughput isn.t supported"
    r"|does not work with the specified model|no such model|no models? (is |are )?loaded|model identifier is invalid"
    r"|not a chat model|only supported in v1/|\bapi[ _-]versions?\b|unknown[ _]model|模型不存在|on-demand throughput"
    r"|configure ai gateway"
    r"|authorization header|llm provider not provided|unexpected endpoint|method not allowed|405 not allowed",
    re.I | re.S,
)
#: A fault or a refusal that is a limit after all: gateways make 500 or 400 of what they cannot name.
THROTTLED_WITHIN = re.compile(
    r"throttlingexception|\bthrottling\.|too many requests|rate.?limit(ed\b| reached| exceeded|error)", re.I
)
#: A prompt for which the credit that is left is too small (OpenRouter): a shorter one may be answered.
TOO_LONG_FOR_CREDIT = re.compile(r"prompt tokens limit exceeded", re.I)
#: A refusal that is about the address and not about a model at it.
NO_SUCH_ADDRESS = re.compile(
    r"not found\Z|no such (route|page)|invalid url|cannot post|unexpected endpoint|no route|not allowed\Z|\A\W*\Z",
    re.I,
)
#: OpenAI's reasoning models have no empty answer, but this, where their thoughts took all tokens.
THOUGHT_TO_THE_END = re.compile(r"output limit was reached", re.I)
#: A refusal with status 400 or 404 that passes by itself.
PASSES = re.compile(
    r"has crashed|\bunloaded\b|\b(is|still|currently) (being )?loading\b|\bloading model|degraded function"
    r"|(internal (server )?|unexpected )error\b"
    r"|\b(server|service|engine|model|system|deployment) is (too )?(busy|overloaded|not ready|unavailable)"
    r"|temporar(y|ily)|try again later",
    re.I,
)
#: What an error stands for that has neither a status nor a code.
STATUS_OF_WORDS = (
    (429, re.compile(r"rate[ _-]?limit|too many requests|throttl|qps|concurren", re.I)),
    (401, re.compile(r"invalid (api[ _-]?key|token)|unauthorized|not authenticated|login fail|authentication", re.I)),
    (402, SPENT),
    (404, re.compile(r"unexpected endpoint|model\b.{0,60}not found", re.I | re.S)),
)
