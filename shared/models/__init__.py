"""peewee models of schema.sql: what a row looks like. A test compares them with the database.

What belongs here: one class for each table, in the module of its room; everybody imports them from the package. The pipeline's
verbs are SQL; everything else reads and writes through these: `db.rows(Message.select(…))`. A column that is not given to
`insert` gets the database's default. `priority`, `vector`, `revision`, `is_test` and an item's `updated_at` are PostgreSQL's to
write.
What does not: rules, queries, any I/O.
It may import: errors; db, for the connection that all models share. Everybody above db may import it.
"""

from shared.models.base import Base, EncryptedField, encrypted_fields
from shared.models.budgets import Budget, BudgetReservation, ModelPrice, UsageCounted, UsageDay, UsageLog
from shared.models.channels import (
    Channel,
    ChannelHealth,
    InboundReject,
    TelegramBot,
    WhatsappBusiness,
    WhatsappCloudAccount,
    WhatsappQrSession,
    WhatsappTemplate,
)
from shared.models.chatbots import Chatbot, ChatbotProvider, ProviderProfile
from shared.models.conversations import (
    Contact,
    ContactIdentity,
    Conversation,
    KnowledgeGap,
    Media,
    MediaFile,
    MergedConversation,
    Message,
    OpenPage,
    ParkedChange,
    ParkedReaction,
    ParkedStatus,
    ReplyDraft,
    Tombstone,
)
from shared.models.customers import ApiKey, Customer, KeptAnswer
from shared.models.inbox import ConversationNote, QuickReply
from shared.models.jobs import BulkAction, DeadLetter, Job, Pause, PauseRelease, QueueMinute, Readiness
from shared.models.knowledge import (
    KnowledgeBase,
    KnowledgeCommonWord,
    KnowledgeCommonWordList,
    KnowledgeDocument,
    KnowledgeEmbedding,
    KnowledgeItem,
    KnowledgeSource,
    KnowledgeUpload,
    KnowledgeWord,
)
from shared.models.people import AuditEntry, User, UserLink, UserSession
from shared.models.webhooks import EndpointNotice, WebhookAttempt, WebhookEarlierSecret, WebhookEndpoint, WebhookEvent

__all__ = [
    "TABLES",
    "ApiKey",
    "AuditEntry",
    "Base",
    "Budget",
    "BudgetReservation",
    "BulkAction",
    "Channel",
    "ChannelHealth",
    "Chatbot",
    "ChatbotProvider",
    "Contact",
    "ContactIdentity",
    "Conversation",
    "ConversationNote",
    "Customer",
    "DeadLetter",
    "EncryptedField",
    "EndpointNotice",
    "InboundReject",
    "Job",
    "KeptAnswer",
    "KnowledgeBase",
    "KnowledgeCommonWord",
    "KnowledgeCommonWordList",
    "KnowledgeDocument",
    "KnowledgeEmbedding",
    "KnowledgeGap",
    "KnowledgeItem",
    "KnowledgeSource",
    "KnowledgeUpload",
    "KnowledgeWord",
    "Media",
    "MediaFile",
    "MergedConversation",
    "Message",
    "ModelPrice",
    "OpenPage",
    "ParkedChange",
    "ParkedReaction",
    "ParkedStatus",
    "Pause",
    "PauseRelease",
    "ProviderProfile",
    "QueueMinute",
    "QuickReply",
    "Readiness",
    "ReplyDraft",
    "TelegramBot",
    "Tombstone",
    "UsageCounted",
    "UsageDay",
    "UsageLog",
    "User",
    "UserLink",
    "UserSession",
    "WebhookAttempt",
    "WebhookEarlierSecret",
    "WebhookEndpoint",
    "WebhookEvent",
    "WhatsappBusiness",
    "WhatsappCloudAccount",
    "WhatsappQrSession",
    "WhatsappTemplate",
    "encrypted_fields",
]

TABLES: tuple[type[Base], ...] = tuple(Base.__subclasses__())
