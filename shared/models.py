"""peewee models of schema.sql: what a row looks like. No I/O, no rules; a test compares them with the database.

The pipeline's verbs are SQL; everything else reads and writes through these: `db.rows(Message.select(…))`. A column that is
not given to `insert` gets the database's default. `priority`, `vector`, `revision`, `is_test` and an item's `updated_at` are
PostgreSQL's to write.
"""

from __future__ import annotations

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    DateField,
    DecimalField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField, TSVectorField

from shared.db import proxy


class Base(Model):
    """All tables live in one database, bound when a process first needs it."""

    id = BigAutoField()

    class Meta:
        database = proxy
        legacy_table_names = False


class EncryptedField(TextField):
    """A secret, as shared/db/credentials.py encrypts it. scripts/keys rotate-credentials goes through all of these."""


def _time(**options: bool) -> DateTimeTZField:
    return DateTimeTZField(constraints=[SQL("default now()")], **options)


class Channel(Base):
    """A way to a customer; shared/channels/registry.py says what it can."""

    id = None  # type: ignore[assignment]  # its name is the key
    name = TextField(primary_key=True)
    send_queue = TextField(null=True)


class Customer(Base):
    """A tenant."""

    name = TextField()
    plan_price_cents = IntegerField(default=0)
    priority = SmallIntegerField(null=True)
    created_at = _time()
    keep_messages_days = IntegerField(null=True)
    keep_media_days = IntegerField(null=True)


class KnowledgeBase(Base):
    """A set of items; `language` is that of an item which does not say its own."""

    customer = ForeignKeyField(Customer)
    name = TextField()
    language = TextField(default="english")
    languages = ArrayField(TextField, index=False)
    embedding_model = TextField(null=True)
    embedded_model = TextField(null=True)
    embedding_error = TextField(null=True)


class KnowledgeSource(Base):
    """A file, a page or a sitemap whose text became items."""

    knowledge_base = ForeignKeyField(KnowledgeBase)
    kind = TextField()
    location = TextField()
    language = TextField(null=True)
    sync_hours = IntegerField(null=True)
    state = TextField(default="listing")
    error = TextField(null=True)
    robots = TextField(null=True)
    removed = IntegerField(default=0)
    created_at = _time()
    synced_at = _time()
    next_sync_at = DateTimeTZField(null=True)


class KnowledgeDocument(Base):
    """One file or page of a source."""

    source = ForeignKeyField(KnowledgeSource)
    location = TextField()
    state = TextField(default="waiting")
    change = TextField(null=True)
    error = TextField(null=True)
    url = TextField(null=True)
    etag = TextField(null=True)
    last_modified = TextField(null=True)
    content_hash = TextField(null=True)
    items = IntegerField(default=0)
    items_added = IntegerField(default=0)
    items_removed = IntegerField(default=0)
    created_at = _time()
    updated_at = _time()


class KnowledgeUpload(Base):
    """An uploaded file's bytes, until its job has read them."""

    id = None  # type: ignore[assignment]  # one of each document
    document = ForeignKeyField(KnowledgeDocument, primary_key=True)
    body = BlobField()
    created_at = _time()


class KnowledgeItem(Base):
    """One piece of knowledge. Without a `language` it gets its base's."""

    knowledge_base = ForeignKeyField(KnowledgeBase)
    language = TextField(null=True)
    title = TextField()
    content = TextField()
    vector = TSVectorField(null=True, index=False)
    document = ForeignKeyField(KnowledgeDocument, null=True)
    is_active = BooleanField(constraints=[SQL("default true")])
    url = TextField(null=True)
    show_link = BooleanField(constraints=[SQL("default true")])
    created_at = _time()
    updated_at = _time()


class KnowledgeWord(Base):
    """A word of an item, for the search. PostgreSQL writes them when an item changes."""

    id = None  # type: ignore[assignment]
    knowledge_base = ForeignKeyField(KnowledgeBase)
    word = TextField()
    knowledge_item = ForeignKeyField(KnowledgeItem)
    weight = FloatField()

    class Meta:
        """Each word once for each item."""

        primary_key = CompositeKey("knowledge_base", "word", "knowledge_item")


class KnowledgeEmbedding(Base):
    """A vector of an item's; a table of vectors.sql, which is not everywhere. PostgreSQL reads and writes the vectors."""

    id = None  # type: ignore[assignment]
    item = ForeignKeyField(KnowledgeItem)
    model = TextField()
    part = SmallIntegerField()
    knowledge_base = ForeignKeyField(KnowledgeBase)
    text_hash = UUIDField()
    vector = TextField()

    class Meta:
        """An item has at most one vector of a model for each of its texts."""

        primary_key = CompositeKey("item", "model", "part")


class Chatbot(Base):
    """Who answers: prompt, model, provider, knowledge."""

    customer = ForeignKeyField(Customer)
    name = TextField()
    knowledge_base = ForeignKeyField(KnowledgeBase, null=True)
    system_prompt = TextField()
    fallback_message = TextField()
    model = TextField()
    temperature = FloatField()
    max_tokens = IntegerField()
    provider_base_url = TextField(null=True)
    provider_api_key = EncryptedField(null=True)
    debounce_seconds = FloatField()
    created_at = _time()
    public_key = TextField(constraints=[SQL("default ('pk_' || replace(gen_random_uuid()::text, '-', ''))")])
    allowed_origins = ArrayField(TextField, index=False)
    unsupported_message = TextField()
    handover_message = TextField(null=True)
    no_answer_message = TextField()
    no_answer_hands_over = BooleanField()
    cite_sources = BooleanField()
    shows_typing = BooleanField(constraints=[SQL("default true")])
    provider_timeout = FloatField(null=True)
    knowledge_characters = IntegerField(null=True)
    history_characters = IntegerField(null=True)
    return_after_minutes = IntegerField()
    transcription_model = TextField(null=True)
    transcription_base_url = TextField(null=True)
    transcription_api_key = EncryptedField(null=True)
    transcription_language = TextField(null=True)
    can_see = BooleanField()
    unsupported_hands_over = BooleanField()
    no_answer_hands_over_after = SmallIntegerField()
    fallback_hands_over = BooleanField()
    opening_hours = BinaryJSONField(null=True, index=False)
    time_zone = TextField()
    closed_hands_over = BooleanField()
    closed_message = TextField(null=True)


class ChatbotProvider(Base):
    """Who is asked when a chatbot's first provider, which is the chatbot's own columns, fails. Positions are 2 to 5."""

    chatbot = ForeignKeyField(Chatbot)
    position = SmallIntegerField()
    base_url = TextField(null=True)
    api_key = EncryptedField(null=True)
    model = TextField()
    timeout = FloatField(null=True)
    temperature = FloatField(null=True)
    max_tokens = IntegerField(null=True)


class ProviderProfile(Base):
    """What a model at an address does not take."""

    base_url = TextField()
    model = TextField()
    lessons = BinaryJSONField(index=False)
    learnt_at = _time()

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("base_url", "model")


class WhatsappBusiness(Base):
    """A business account of Meta's (WABA)."""

    id = None  # type: ignore[assignment]  # Meta's id is the key
    waba_id = TextField(primary_key=True)
    templates_synced_at = DateTimeTZField(null=True)
    templates_tried_at = DateTimeTZField(null=True)
    templates_error = TextField(null=True)


class WhatsappCloudAccount(Base):
    """A number of Meta's Cloud API."""

    chatbot = ForeignKeyField(Chatbot)
    phone_number_id = TextField()
    access_token = EncryptedField()
    active = BooleanField()
    waba_id = TextField(null=True)


class WhatsappTemplate(Base):
    """A message template as Meta has it."""

    waba_id = TextField()
    provider_id = TextField(null=True)
    name = TextField()
    language = TextField()
    status = TextField()
    category = TextField(null=True)
    quality = TextField(null=True)
    reason = TextField(null=True)
    components = BinaryJSONField(index=False)
    updated_at = _time()


class WhatsappQrSession(Base):
    """A phone behind a QR gateway."""

    chatbot = ForeignKeyField(Chatbot)
    session_name = TextField()
    dialect = TextField()
    api_key = EncryptedField(null=True)
    active = BooleanField()
    webhook_secret = EncryptedField(null=True)
    state = TextField()
    state_detail = TextField(null=True)
    state_at = DateTimeTZField(null=True)
    acked_at = DateTimeTZField(null=True)


class TelegramBot(Base):
    """A bot that BotFather made."""

    chatbot = ForeignKeyField(Chatbot)
    bot_id = TextField()
    username = TextField()
    token = EncryptedField()
    webhook_secret = EncryptedField()
    polling = BooleanField()
    active = BooleanField()


class ChannelHealth(Base):
    """How an account of a channel is; one without a row is well."""

    id = None  # type: ignore[assignment]  # its account is the key
    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    state = TextField()
    reason = TextField(null=True)
    detail = TextField(null=True)
    since = DateTimeTZField()
    calls = IntegerField()
    probe_at = DateTimeTZField(null=True)
    slow_until = DateTimeTZField(null=True)

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("chatbot", "channel")


class ApiKey(Base):
    """A key of a business's server; only its hash."""

    customer = ForeignKeyField(Customer)
    name = TextField()
    hash = TextField()
    created_at = _time()
    revoked_at = DateTimeTZField(null=True)


class InboundReject(Base):
    """What came in with a good signature and found no place."""

    source = TextField()
    reason = TextField()
    subject = TextField(null=True)
    payload = TextField()
    received_at = _time()


class Contact(Base):
    """A person who writes to a chatbot."""

    chatbot = ForeignKeyField(Chatbot)
    name = TextField(null=True)
    created_at = _time()
    updated_at = _time()


class ContactIdentity(Base):
    """A name by which a family of channels knows a person."""

    id = None  # type: ignore[assignment]  # chatbot, family and name are the key
    contact = ForeignKeyField(Contact, backref="identities")
    chatbot_id = BigIntegerField()
    family = TextField()
    name = TextField()
    created_at = _time()
    left_at = DateTimeTZField(null=True)
    lookups = SmallIntegerField()
    lookup_at = DateTimeTZField(null=True)

    class Meta:
        primary_key = CompositeKey("chatbot_id", "family", "name")


class Conversation(Base):
    """One person on one channel of a chatbot."""

    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    external_user_id = TextField()
    created_at = _time()
    updated_at = _time()
    revision = BigIntegerField(default=0)
    braked_until = DateTimeTZField(null=True)
    brakes = SmallIntegerField(default=0)
    handed_over_at = DateTimeTZField(null=True)
    handover_reason = TextField(null=True)
    window_ends_at = DateTimeTZField(null=True)
    owner = TextField()
    owner_since = DateTimeTZField(null=True)
    returns_at = DateTimeTZField(null=True)
    return_after_minutes = IntegerField(null=True)
    contact = ForeignKeyField(Contact, null=True)
    context_after = BigIntegerField(null=True)
    active_at = _time()
    assigned_to_id = BigIntegerField(null=True, column_name="assigned_to")
    handoff_told_at = DateTimeTZField(null=True)
    is_test = BooleanField(null=True)


class MergedConversation(Base):
    """The id of a conversation that has become a part of another one."""

    id = BigIntegerField(primary_key=True)
    conversation = ForeignKeyField(Conversation, on_delete="CASCADE")


class Message(Base):
    """What a user, the assistant or a person of the business wrote. `chatbot` and `channel` are the conversation's."""

    conversation = ForeignKeyField(Conversation)
    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    role = TextField()
    content = TextField()
    status = TextField()
    external_id = TextField(null=True)
    reply_to = ForeignKeyField("self", null=True, column_name="reply_to")
    attempts = IntegerField()
    error = TextField(null=True)
    metadata = BinaryJSONField(index=False)
    created_at = _time()
    updated_at = _time()
    revision = BigIntegerField(null=True)
    idempotency_key = TextField(null=True)
    kind = TextField(default="text")
    sent_at = DateTimeTZField(null=True)
    data = BinaryJSONField(default=dict, index=False)
    address = TextField(null=True)
    edited_at = DateTimeTZField(null=True)
    revoked_at = DateTimeTZField(null=True)


class Media(Base):
    """A picture, voice note or file that a message came with."""

    customer = ForeignKeyField(Customer)
    message = ForeignKeyField(Message)
    position = SmallIntegerField()
    kind = TextField()
    mime = TextField(null=True)
    filename = TextField(null=True)
    size = BigIntegerField(null=True)
    sha256 = TextField(null=True)
    source = BinaryJSONField(index=False)
    state = TextField(default="waiting")
    storage_key = TextField(null=True)
    text = TextField(null=True)
    error = TextField(null=True)
    created_at = _time()


class MediaFile(Base):
    """A file of the storage: each once for a customer."""

    id = None  # type: ignore[assignment]
    customer_id = BigIntegerField()
    sha256 = TextField()
    size = BigIntegerField()
    wanted_at = _time()
    deleting_at = DateTimeTZField(null=True)

    class Meta:
        """The same bytes are the same file."""

        primary_key = CompositeKey("customer_id", "sha256")


class KnowledgeGap(Base):
    """A question that a bot had no good answer to."""

    knowledge_base = ForeignKeyField(KnowledgeBase)
    chatbot = ForeignKeyField(Chatbot)
    message = ForeignKeyField(Message)
    question = TextField()
    language = TextField()
    words = ArrayField(TextField, index=False)
    reason = TextField()
    created_at = _time()
    closed_at = DateTimeTZField(null=True)
    knowledge_item = ForeignKeyField(KnowledgeItem, null=True)


class ParkedStatus(Base):
    """A status that came before its message's id was known."""

    provider_id = TextField()
    status = TextField()
    error = TextField(null=True)
    received_at = _time()
    chatbot = ForeignKeyField(Chatbot, null=True)
    error_code = TextField(null=True)


class UsageLog(Base):
    """What is charged for."""

    customer = ForeignKeyField(Customer)
    kind = TextField()
    message = ForeignKeyField(Message, null=True)
    quantity = IntegerField()
    prompt_tokens = IntegerField()
    completion_tokens = IntegerField()
    model = TextField(null=True)
    created_at = _time()
    chatbot_id = BigIntegerField(null=True)
    cost = DecimalField(null=True)
    counted_tokens = BigIntegerField(null=True)


class UsageDay(Base):
    """What a customer used on a day that is over."""

    id = None  # type: ignore[assignment]
    customer = ForeignKeyField(Customer)
    day = DateField()
    kind = TextField()
    chatbot_id = BigIntegerField()
    model = TextField()
    entries = BigIntegerField()
    quantity = BigIntegerField()
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    cost = DecimalField()
    priced = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("customer", "day", "kind", "chatbot_id", "model")


class UsageCounted(Base):
    """How far a customer's days are counted."""

    id = None  # type: ignore[assignment]
    customer = ForeignKeyField(Customer, primary_key=True)
    until = DateField()


class ModelPrice(Base):
    """What a model costs for a million tokens, and for a minute of speech."""

    id = None  # type: ignore[assignment]
    base_url = TextField()
    model = TextField()
    prompt = DecimalField()
    completion = DecimalField()
    minute = DecimalField()
    is_free = BooleanField(null=True)

    class Meta:
        primary_key = CompositeKey("base_url", "model")


class Budget(Base):
    """What a customer, or one of its chatbots, may spend on models in a month."""

    customer = ForeignKeyField(Customer)
    chatbot = ForeignKeyField(Chatbot, null=True)
    tokens = BigIntegerField(null=True)
    money = DecimalField(null=True)
    time_zone = TextField()
    at_limit = TextField()
    text = TextField(null=True)
    model = TextField(null=True)
    by_operator = BooleanField()
    month = DateField()
    spent_tokens = BigIntegerField()
    spent_money = DecimalField()
    warned_at = DateTimeTZField(null=True)
    exhausted_at = DateTimeTZField(null=True)
    updated_at = _time()
    told_at = DateTimeTZField(null=True)


class BudgetReservation(Base):
    """The most that a call can cost whose outcome is not known yet."""

    id = UUIDField(primary_key=True)  # type: ignore[assignment]  # the caller's
    customer = ForeignKeyField(Customer)
    chatbot_id = BigIntegerField(null=True)
    message_id = BigIntegerField(null=True)
    job_id = BigIntegerField(null=True)
    claim = IntegerField(null=True)
    base_url = TextField()
    model = TextField()
    prompt_tokens = IntegerField()
    completion_tokens = IntegerField()
    seconds = IntegerField()
    money = DecimalField()
    created_at = _time()


class WebhookEndpoint(Base):
    """A customer's URL that hears of events."""

    customer = ForeignKeyField(Customer)
    url = TextField(null=True)
    secret = EncryptedField()
    events = ArrayField(TextField, index=False)
    active = BooleanField()
    created_at = _time()
    redelivery_schedule = ArrayField(IntegerField, index=False, null=True)
    description = TextField()
    chatbots = ArrayField(BigIntegerField, index=False, null=True)
    channels = ArrayField(TextField, index=False, null=True)
    headers = EncryptedField(null=True)
    rate_limit = TextField(null=True)
    paused = BooleanField()
    old_secret = EncryptedField(null=True)
    old_secret_until = DateTimeTZField(null=True)
    failing_since = DateTimeTZField(null=True)
    warned_at = DateTimeTZField(null=True)
    disabled_reason = TextField(null=True)
    url_changed_at = DateTimeTZField(null=True)


class WebhookEvent(Base):
    """One event for one endpoint."""

    customer = ForeignKeyField(Customer)
    endpoint = ForeignKeyField(WebhookEndpoint)
    event = TextField()
    payload = BinaryJSONField(index=False)
    status = TextField()
    attempts = IntegerField()
    response_status = IntegerField(null=True)
    error = TextField(null=True)
    created_at = _time()
    delivered_at = DateTimeTZField(null=True)
    next_attempt_at = DateTimeTZField(null=True)
    redeliveries = SmallIntegerField()
    held = BooleanField()
    position = BigIntegerField(null=True)


class WebhookAttempt(Base):
    """A call to an endpoint. Its endpoint and customer are the event's."""

    event = ForeignKeyField(WebhookEvent)
    endpoint_id = BigIntegerField()
    customer_id = BigIntegerField()
    number = IntegerField()
    trigger = TextField()
    started_at = DateTimeTZField()
    ms = BinaryJSONField(index=False)
    status = IntegerField(null=True)
    answer = TextField(null=True)
    error_code = TextField(null=True)
    error = TextField(null=True)
    next_at = DateTimeTZField(null=True)


class Job(Base):
    """A row of the ledger. It outlives what it names, so its ids are no foreign keys."""

    queue = TextField()
    state = TextField()
    priority = SmallIntegerField()
    payload = BinaryJSONField(index=False)
    ordering_key = TextField(null=True)
    held = BooleanField()
    dedup_key = TextField(null=True)
    customer_id = BigIntegerField(null=True)
    message_id = BigIntegerField(null=True)
    webhook_event_id = BigIntegerField(null=True)
    attempts = IntegerField()
    claims = IntegerField()
    lost_claims = IntegerField()
    outcome_unknown_since = DateTimeTZField(null=True)
    last_error = TextField(null=True)
    last_traceback = TextField(null=True)
    claimed_by = TextField(null=True)
    lease_until = DateTimeTZField(null=True)
    run_at = DateTimeTZField(null=True)
    created_at = _time()
    started_at = DateTimeTZField(null=True)
    closed_at = DateTimeTZField(null=True)
    waits_for = TextField(null=True)


class BulkAction(Base):
    """Something done to many rows at a pace (shared/operations/bulk_actions.py)."""

    kind = TextField()
    name = TextField(null=True)
    customer = ForeignKeyField(Customer, null=True)
    filter = BinaryJSONField(index=False)
    until = _time()
    total = IntegerField()
    counts = BinaryJSONField(default=dict, index=False)
    pace = FloatField()
    position = BigIntegerField(default=0)
    stepped_at = _time()
    state = TextField(default="running")
    created_by = TextField()
    created_at = _time()
    stopped_by = TextField(null=True)
    finished_at = DateTimeTZField(null=True)


class DeadLetter(Base):
    """A job that failed for good; PostgreSQL writes it when the job is closed. It outlives what it names."""

    job_id = BigIntegerField()
    queue = TextField()
    channel = TextField(null=True)
    error_code = TextField()
    error = TextField()
    customer = ForeignKeyField(Customer, null=True)
    chatbot_id = BigIntegerField(null=True)
    conversation_id = BigIntegerField(null=True)
    message_id = BigIntegerField(null=True)
    webhook_event_id = BigIntegerField(null=True)
    endpoint_id = BigIntegerField(null=True)
    attempts = IntegerField()
    outcome_unknown = BooleanField()
    failures = IntegerField(default=1)
    began_at = DateTimeTZField()
    failed_at = _time()
    state = TextField(default="open")
    changed_by = TextField(null=True)
    changed_at = DateTimeTZField(null=True)
    bulk_action = ForeignKeyField(BulkAction, null=True)


class KeptAnswer(Base):
    """The answer to a request with an Idempotency-Key."""

    customer = ForeignKeyField(Customer)
    key = TextField()
    fingerprint = TextField()
    path = TextField()
    status = IntegerField(null=True)
    answer = EncryptedField(null=True)
    created_at = _time()


class Tombstone(Base):
    """A keyed hash of an erased person's name, or of the id of one of their messages."""

    id = None  # type: ignore[assignment]  # its mark is the key
    mark = TextField(primary_key=True)
    message_id = BigIntegerField(null=True)
    erased_at = DateTimeTZField()


class QueueMinute(Base):
    """What a queue did in a minute."""

    id = None  # type: ignore[assignment]
    queue = TextField()
    minute = DateTimeTZField()
    completed = IntegerField()
    failed = IntegerField()
    wait_seconds = FloatField()
    longest_wait = FloatField()

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("minute", "queue")


class Pause(Base):
    """What is not worked on for now (shared/operations/pauses.py)."""

    queue = TextField(null=True)
    chatbot = ForeignKeyField(Chatbot, null=True)
    customer = ForeignKeyField(Customer, null=True)
    reason = TextField(null=True)
    created_by = TextField()
    created_at = _time()


class OpenPage(Base):
    """A conversation whose widget is open now."""

    id = None  # type: ignore[assignment]  # its topic is the key
    topic = TextField(primary_key=True)
    open_until = DateTimeTZField()


class ReplyDraft(Base):
    """The reply that is being written in a conversation."""

    id = None  # type: ignore[assignment]  # its conversation is the key
    conversation = ForeignKeyField(Conversation, primary_key=True, on_delete="CASCADE")
    reply_to_id = BigIntegerField(column_name="reply_to")
    text = TextField()
    updated_at = _time()


class Readiness(Base):
    """The one row that each /readyz writes."""

    id = SmallIntegerField(primary_key=True)
    checked_at = _time()


class User(Base):
    """Who works at the desk: an operator (no customer), or an owner or agent of one."""

    customer = ForeignKeyField(Customer, null=True)
    customer_id: int | None
    role = TextField()
    email = TextField()
    name = TextField()
    password_hash = TextField(null=True)
    language = TextField(null=True)
    can_read_texts = BooleanField(constraints=[SQL("default false")])
    created_at = _time()
    updated_at = _time()
    disabled_at = DateTimeTZField(null=True)

    class Meta:
        """`user` is PostgreSQL's own word."""

        table_name = "app_user"


class EndpointNotice(Base):
    """An e-mail to an owner about an endpoint that only fails, which the mail server has not taken yet."""

    endpoint = ForeignKeyField(WebhookEndpoint)
    user = ForeignKeyField(User)
    state = TextField()
    disables_at = DateTimeTZField()
    attempts = IntegerField()
    due_at = _time()
    created_at = _time()


class ConversationNote(Base):
    """What colleagues tell each other in a conversation."""

    conversation = ForeignKeyField(Conversation)
    user = ForeignKeyField(User, null=True)
    author = TextField()
    content = TextField()
    created_at = _time()


class QuickReply(Base):
    """An answer that a business's people use often."""

    customer = ForeignKeyField(Customer)
    shortcut = TextField()
    content = TextField()
    updated_at = _time()


class UserSession(Base):
    """A browser that is logged in."""

    user = ForeignKeyField(User)
    hash = TextField()
    address = TextField()
    agent = TextField()
    created_at = _time()
    seen_at = _time()


class UserLink(Base):
    """A link that lets its holder choose a password, once."""

    kind = TextField()
    user = ForeignKeyField(User, null=True)
    user_id: int | None
    hash = TextField()
    created_at = _time()
    expires_at = DateTimeTZField()
    used_at = DateTimeTZField(null=True)


class AuditEntry(Base):
    """What somebody changed, or which texts an operator read."""

    at = _time()
    user = ForeignKeyField(User, null=True)
    customer = ForeignKeyField(Customer, null=True)
    action = TextField()
    subject = TextField()
    subject_id = BigIntegerField(null=True)
    details = BinaryJSONField(index=False, constraints=[SQL("default '{}'")])


TABLES: tuple[type[Base], ...] = tuple(Base.__subclasses__())


def encrypted_fields(model: type[Base]) -> list[EncryptedField]:
    """The secrets of a table."""
    return [field for field in model._meta.sorted_fields if isinstance(field, EncryptedField)]
