"""What a refused connection's words mean: libpq passes no SQLSTATE on, only what the server, a pooler or libpq itself says.

libpq speaks English in our processes. A server speaks the language of its lc_messages, and its operating system's encoding, for
it says these words before an encoding is agreed on.
"""

from __future__ import annotations

from shared.dns.services import SILENT

#: Encodings of servers that speak no UTF-8; the first in which the words are known is the right one.
_ENCODINGS = ("latin-1", "iso8859-2", "koi8-r", "cp1251", "iso8859-5", "euc-jp", "shift-jis", "gb18030", "big5", "euc-kr")
#: How it begins if a host's name has no address. libpq says it where it looks the name up itself (PGSERVICE).
NOT_TRANSLATED = "could not translate host name"
_DNS_SILENT = (SILENT.lower(), "temporary failure", "try again")
#: Parts of what libpq says where TLS cannot begin: no certificate, or a client's key that it does not take.
_OF_TLS = ("certificate", "ssl", "private key file")
#: The SQLSTATEs that a refusal would have, each by parts of texts in lower case; where several fit, the first.
#: Languages: en de es fr it ja ka ko pl pt_BR ru sv uk zh_CN.
_WORDS = (
    (
        "53300",
        (
            *("too many clients", "remaining connection slots", "too many connections", "no more connections", "max client"),
            # poolers of all kinds: PgBouncer, Neon, Supavisor, RDS Proxy
            *("query_wait_timeout", "too many database connection", "check out", "waiting to acquire database connection"),
            *("zu viele verbindungen", "verbleibenden verbindungen sind"),
            *("demasiados clientes", "demasiadas conexiones", "conexiones restantes están reservadas"),
            *("trop de clients", "trop de connexions", "connexions restants sont réservés"),
            *("troppi client", "troppe connessioni", "slot di connessione sono riservati"),
            *("多すぎます", "残りの接続スロット"),
            *("მეტისმეტად ბევრი", "ძალიან ბევრი კავშირი"),
            *("최대 동시 접속", "최대 접속수를 초과", "남은 연결 슬롯"),
            *("zbyt wielu klientów", "zbyt wiele połączeń", "muitos clientes", "muitas conexões"),
            *("слишком много", "слоты подключений зарезервированы"),
            *("för många", "anslutningsslottar är reserverade"),
            *("забагато", "слоти підключень"),
            *("太多", "已保留的连接位置"),
        ),
    ),
    (
        "57P03",
        (
            *("is starting up", "is shutting down", "not yet accepting", "not accepting", "in recovery mode"),
            *("das datenbanksystem startet", "nimmt keine verbindungen an", "nimmt noch keine verbindungen an"),
            *("das datenbanksystem fährt herunter", "im wiederherstellungsmodus"),
            *("está iniciándose", "está apagándose", "no está aceptando conexiones", "en modo de recuperación"),
            *("bases de données se lance", "base de données s'arrête", "n'accepte pas", "en cours de restauration"),
            *("si sta avviando", "si sta spegnendo", "non accetta", "in modalità di ripristino"),
            *("起動処理中です", "シャットダウンしています", "接続を受け付けていません", "リカバリモードです"),
            *("სისტემის გაშვება", "სისტემა ითიშება", "მიერთებებს არ იღებს", "აღდგენის რეჟიმშია"),
            *("새로 가동 중", "중지 중", "접속을 허용하지 않습니다", "자동 복구 작업 중"),
            *("запускается", "останавливается", "не принимает подключения", "в режиме восстановления"),
            *("startar upp", "stänger ner", "tar inte emot", "tar ännu inte emot", "återställningsläge"),
            *("запускається", "завершує роботу", "не приймає підключення", "у режимі відновлення"),
            *("启动中", "停止中", "恢复模式"),
        ),
    ),
    (
        "28000",
        (
            *("authentication failed", "authentication method requirement", "pg_hba.conf", "no password supplied"),
            *(
                "tenant or user not found",
                "too many authentication errors",
                "no credentials for the role",
                "password that was provided",
            ),
            *("passwort-authentifizierung", "rolle »", "autentificación password falló", "no existe el rol"),
            *("authentification par mot de passe échouée", "le rôle «", "autenticazione con password fallita", "il ruolo"),
            *("パスワード認証に失敗", "ロール", "პაროლით ავთენტიფიკაცია", "როლი არ არსებობს", "인증을 실패", "롤(role) 없음"),
            *("не прошёл проверку подлинности", "роль", "lösenordsautentisering", "rollen"),
            *("не пройшов автентифікацію", "认证失败", "角色"),
        ),
    ),
    (
        "3D000",
        (
            *("no such database", "datenbank »", "no existe la base de datos", "la base de données «", "il database"),
            *("データベース", "მონაცემთა ბაზა", "데이터베이스 없음", "база данных", "databasen", "бази даних", "数据库"),
        ),
    ),
    (
        "22023",
        (
            *("invalid value for parameter", "unrecognized configuration parameter", "requires a boolean value"),
            *("invalid command-line argument", "ungültiger wert für parameter", "unbekannter konfigurationsparameter"),
            *("valor no válido para el parámetro", "parámetro de configuración", "valeur invalide pour le paramètre"),
            *("paramètre de configuration", "valore non valido per il parametro", "parametro di configurazione"),
            *("の値が不正です", "設定パラメータ", "неверное значение для параметра", "параметр конфигурации"),
        ),
    ),
    ("25006", ("session is read-only", "server is in hot standby mode")),
    ("53QUO", ("time quota", "transfer quota", "quota exceeded")),
    ("53200", ("out of memory",)),
    ("53100", ("no space left",)),
)


def text_of(words: bytes) -> str:
    """Words that are no UTF-8: in the encoding in which they are known ones, else readable in part."""
    texts = (words.decode(encoding, "replace") for encoding in _ENCODINGS)
    return next((text for text in texts if known_state_of(text.lower())), words.decode("utf-8", "replace"))


def state_of(text: str) -> str:
    """The SQLSTATE that the refusal would have."""
    text = text.lower()
    if "does not exist" in text and "certificate" not in text:
        return "3D000" if "database" in text.split("fatal:")[-1] else "28000"
    if text.startswith(NOT_TRANSLATED):
        return "08DNS" if any(words in text for words in _DNS_SILENT) else "08NAM"
    if text.startswith("connection to server"):
        otherwise = "08TLS" if any(part in text for part in _OF_TLS) else "08004" if _has_answered(text) else "08001"
        return known_state_of(text.partition(" failed: ")[2]) or otherwise
    return known_state_of(text) or "08"


def _has_answered(text: str) -> bool:
    return "fatal: " in text or "error: " in text


def known_state_of(text: str) -> str | None:
    """The SQLSTATE that words in lower case have, if they are known ones."""
    return next((state for state, words in _WORDS if any(word in text for word in words)), None)
