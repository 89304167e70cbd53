"""Users: making, finding and changing them. A change ends the sessions of those whose rights it takes away."""

from __future__ import annotations

import re
from typing import Any

from peewee import IntegrityError, fn

from shared import db
from shared.errors import Refused
from shared.models import Customer, User, UserLink, UserSession, limits
from shared.people import passwords

#: What each role may, from the least on: within its customer an owner may what an agent may, an operator may all, everywhere.
ROLES = ("agent", "owner", "operator")
#: Without the characters that have a meaning in a header of an e-mail (RFC 5322, 3.2.3): "a,b@x.example" would go to two people.
_ADDRESS = re.compile(r'[^@\s()<>\[\]:;,\\"]+@[\w-]+(\.[\w-]+)*')


def may(user: User, role: str) -> bool:
    """Whether somebody has the rights of this role."""
    return ROLES.index(user.role) >= ROLES.index(role)


def create(email: str, name: str, role: str, customer_id: int | None = None) -> User:
    """A new user without a password. Raises Refused."""
    address = checked_address(email)
    if (role == "operator") != (customer_id is None):
        raise Refused("An operator has no customer, and an owner or agent has to have one.")
    if customer_id is not None and db.scalar(Customer.select(Customer.id).where(Customer.id == customer_id)) is None:
        raise Refused("There is no customer %(id)s.", id=customer_id)
    new = User.insert(email=address, name=checked_name(name), role=role, customer=customer_id)
    try:
        with db.transaction():
            if customer_id is not None:
                limits.check(limits.PEOPLE, customer_id, User.select(User.id).where(User.customer == customer_id))
            user_id = db.scalar(new.returning(User.id))
    except IntegrityError:
        raise Refused(
            "%(address)s is the address of a user already. Use another one, or make a new link for that user.", address=address
        ) from None
    return require(user_id)


def require(user_id: int) -> User:
    """A user by id. Raises Refused."""
    user = _one(User.id == user_id)
    if user is None:
        raise Refused("There is no user %(id)s.", id=user_id)
    return user


def locked(user_id: int) -> User:
    """A user by id, who does not change until the caller's transaction ends. Raises Refused."""
    db.rows(User.select(User.id).where(User.id == user_id).for_update())
    return require(user_id)


def find(email: str) -> User | None:
    """A user by address, None if nobody has it."""
    return _one(User.email == email.strip().lower())


def of_customer(customer_id: int | None) -> list[dict[str, Any]]:
    """The users of a customer, or the operators: each with `last_seen`."""
    seen = UserSession.select(fn.max(UserSession.seen_at)).where(UserSession.user == User.id)
    whose = User.customer.is_null() if customer_id is None else User.customer == customer_id
    return db.rows(User.select(User, seen.alias("last_seen")).where(whose).order_by(User.disabled_at.is_null(False), User.id))


def authenticate(email: str, password: str) -> User | None:
    """Whose address and password these are; None if they are nobody's, or the user is disabled."""
    user = find(email)
    if not passwords.matches(password, user.password_hash if user else None) or user is None or user.disabled_at:
        return None
    return user


def set_password(user_id: int, password: str) -> None:
    """Another password; whoever was logged in is so no longer, and earlier links end. Hashing takes long: in no transaction."""
    set_password_hash(user_id, passwords.hashed(password))


def set_password_hash(user_id: int, password_hash: str) -> None:
    """The same with what `passwords.hashed` made before, for a transaction of the caller's."""
    with db.transaction():
        _change(user_id, password_hash=password_hash)
        db.rows(UserSession.delete().where(UserSession.user == user_id))
        _end_links(user_id)


def replace_password_hash(user: User, password_hash: str) -> bool:
    """The same for a user as they were read; False if they have another password meanwhile, or no access any more."""
    is_same = (User.id == user.id) & (User.password_hash == user.password_hash) & User.disabled_at.is_null()
    with db.transaction():
        if db.row(User.select(User.id).where(is_same).for_update()) is None:
            return False
        set_password_hash(user.id, password_hash)
    return True


def set_role(user_id: int, role: str) -> None:
    """An agent becomes an owner, or the other way round. Raises Refused where a customer would be left without an owner.

    Links that were made for an agent end when they become an owner: an API key was shown one, perhaps.
    """
    with db.transaction():
        user = require(user_id)
        if role not in ("agent", "owner") or user.role == "operator":
            raise Refused("Only agents and owners change their roles.")
        if role == "agent":
            _keep_one(user)
        elif user.role == "agent":
            _end_links(user_id)
        _change(user_id, role=role)


def disable(user_id: int) -> None:
    """Ends somebody's access at once. Raises Refused for the last owner of a customer, and the last operator."""
    with db.transaction():
        _keep_one(require(user_id))
        _change(user_id, disabled_at=fn.now())
        db.rows(UserSession.delete().where(UserSession.user == user_id))
        _end_links(user_id)


def enable(user_id: int) -> None:
    """Gives somebody's access back."""
    _change(user_id, disabled_at=None)


def allow_texts(user_id: int, is_allowed: bool) -> None:
    """Whether an operator may read messages. Raises Refused for others, who always may."""
    if require(user_id).role != "operator":
        raise Refused("Owners and agents read the messages of their customer; this is for operators only.")
    _change(user_id, can_read_texts=is_allowed)


def set_profile(user_id: int, name: str, language: str | None) -> None:
    """A user's own name and language."""
    _change(user_id, name=checked_name(name), language=language)


def has_operator() -> bool:
    """Whether any operator can log in."""
    able = User.select(User.id).where(User.role == "operator", User.disabled_at.is_null(), User.password_hash.is_null(False))
    return db.scalar(able.limit(1)) is not None


def checked_address(email: str) -> str:
    """An e-mail address as it is stored. Raises Refused."""
    address = email.strip().lower()
    if len(address) > 254 or not _ADDRESS.fullmatch(address) or not (address.isascii() and address.isprintable()):
        raise Refused("This is not an e-mail address. It looks like name@example.com.")
    return address


def checked_name(name: str) -> str:
    """A name as it is stored. Raises Refused."""
    plain = " ".join("".join(character for character in name if character.isprintable()).split())
    if not 1 <= len(plain) <= 200:
        raise Refused("A name has 1 to 200 characters.")
    return plain


def _keep_one(user: User) -> None:
    """Locks those like this one. Raises Refused if it is the last who can log in: whoever is invited may never come."""
    if user.role == "agent":
        return
    whose = User.customer.is_null() if user.customer_id is None else User.customer == user.customer_id
    is_able = User.disabled_at.is_null() & User.password_hash.is_null(False)
    able = db.rows(User.select(User.id).where(whose, User.role == user.role, is_able).for_update())
    if [row["id"] for row in able] == [user.id]:
        if user.role == "operator":
            raise Refused("%(name)s is the last operator who can log in. Invite another one first.", name=user.name)
        raise Refused(
            "%(name)s is the last owner of this business who can log in. Make somebody else an owner first.", name=user.name
        )


def _end_links(user_id: int) -> None:
    db.rows(UserLink.update(used_at=fn.now()).where(UserLink.user == user_id, UserLink.used_at.is_null()))


def _one(where: Any) -> User | None:
    row = db.row(User.select().where(where))
    return None if row is None else User(**row)


def _change(user_id: int, **values: Any) -> None:
    db.rows(User.update(updated_at=fn.clock_timestamp(), **values).where(User.id == user_id))
