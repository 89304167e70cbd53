"""What a business teaches: its chatbots, and the knowledge bases and items that they answer from.

What belongs here: the rules and the verbs that the API and the commands share: what a value may be, what is refused and why.
    fields.py      values with their limits and error texts
    sites.py       an address that somebody typed becomes the origin that browsers send
    languages.py   the languages of knowledge, and which one a text is in
    common_words.py  the words that are common in each language, from a package into the database
    chatbots.py    chatbots: create, change, delete; providers.py: whom they ask, in which order, with which keys;
                   transcription.py: who writes down what voice notes say; hours.py: when people are there;
                   default_texts.py: what a new one says, in the language of its knowledge
    knowledge.py   bases and items: create, change, delete
    storing.py     who stops or deletes does not wait until an import is stored
    vectors.py     which model makes a base's vectors, and how far they are
    gaps.py        questions without a good answer: grouped, answered, dismissed; askers.py: whose words they are
What does not: how documents become items (shared/knowledge), search and prompts (shared/ai), routes and arguments (web/api,
scripts/commands).
It may import: the vocabulary, db, dns, http, models. Used by ai, budgets, knowledge, privacy, web, scripts and
workers.
"""
