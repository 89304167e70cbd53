"""scripts/budgets: what customers and their chatbots may spend on models in a month, and what models cost."""

from __future__ import annotations

import argparse
import sys
from decimal import Decimal, InvalidOperation
from typing import Any

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.budgets import budgets, prices
from shared.budgets.budgets import AT_LIMIT, BudgetSchema
from shared.config import settings
from shared.errors import InvalidPayload, Refused
from shared.http.urls import UrlRefused
from shared.models import Budget, Customer
from shared.payloads import check


def main() -> int:
    """Runs one command; 1 if it cannot be done."""
    return with_database("budgets", _arguments(), InvalidPayload, UrlRefused)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/budgets", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_budgets(commands)
    _add_prices(commands)
    return parser.parse_args()


def _add_budgets(commands: Any) -> None:
    listed = commands.add_parser("list", help="all budgets: what is spent, reserved for calls under way, and the limit")
    listed.add_argument("--customer", type=count, help="only this customer's")
    listed.set_defaults(run=_list)
    chosen = commands.add_parser("set", help="sets a budget in place of the one before")
    chosen.add_argument("--customer", type=count, required=True, help="its id: scripts/connect business prints it")
    chosen.add_argument("--chatbot", type=count, help="only what this chatbot spends (default: all of the customer's together)")
    chosen.add_argument("--tokens", type=_whole, help="tokens a month")
    chosen.add_argument("--money", type=_amount, help="money a month, in the currency of the prices")
    chosen.add_argument("--time-zone", default="UTC", help="by whose clock a month begins (default UTC)")
    chosen.add_argument(
        "--at-limit", choices=AT_LIMIT, default="hand_over", help="what a customer gets when it is used up (default hand_over)"
    )
    chosen.add_argument("--text", help="what a customer is told; for --at-limit text")
    chosen.add_argument("--model", help="who answers at the chatbot's first provider; for --at-limit cheaper_model")
    chosen.add_argument("--customers-own", action="store_true", help="lets the customer change it, by the API or at the desk")
    chosen.set_defaults(run=_set)
    removed = commands.add_parser("remove", help="removes a budget: what it bounded is unbounded again")
    removed.add_argument("id", type=count, help="as scripts/budgets list shows it")
    removed.set_defaults(run=_remove)


def _add_prices(commands: Any) -> None:
    price = commands.add_parser("price", help="says what a model costs; 0 and 0: it is free, and no budget blocks it")
    price.add_argument("model", help="as chatbots name it, such as gpt-4o-mini")
    price.add_argument("prompt", type=_amount, help="for a million tokens of prompts")
    price.add_argument("completion", type=_amount, help="for a million tokens of answers")
    price.add_argument("--minute", type=_amount, default=Decimal(0), help="of speech that it transcribes (default 0)")
    _add_base_url(price)
    price.set_defaults(run=_price)
    listed = commands.add_parser("prices", help="all prices")
    listed.set_defaults(run=_prices)
    forget = commands.add_parser("forget-price", help="takes a price away: the model's tokens count, and no money")
    forget.add_argument("model")
    _add_base_url(forget)
    forget.set_defaults(run=_forget_price)


def _add_base_url(command: argparse.ArgumentParser) -> None:
    command.add_argument("--base-url", help="the provider's address (default: OPENAI_BASE_URL)")


def _list(arguments: argparse.Namespace) -> int:
    rows = budgets.budgets(arguments.customer)
    if not rows:
        print("There is no budget: nothing bounds what models cost. scripts/budgets set makes one.")
        return 0
    tokens, money = ("tokens spent", "reserved", "limit"), ("money spent", "reserved", "limit")
    print_table(("id", "customer", "chatbot", "month", *tokens, *money, "then"), map(_cells, rows))
    return 0


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    tokens = (row["spent_tokens"], row["reserved_tokens"], row["tokens"])
    money = (_short(row["spent_money"]), _short(row["reserved_money"]), _short(row["money"]))
    then = row["at_limit"] + (f" {row['model']}" if row["model"] else "") + ("" if row["by_operator"] else " (customer's own)")
    whose = (row["id"], row["customer_id"], row["chatbot_id"] or "all", f"{row['month']} {row['time_zone']}")
    return (*whose, *tokens, *money, then)


def _short(amount: Decimal | None) -> str:
    """An amount without zeros that say nothing."""
    return "" if amount is None else f"{amount:.6f}".rstrip("0").rstrip(".")


def _set(arguments: argparse.Namespace) -> int:
    if db.row(Customer.select(Customer.id).where(Customer.id == arguments.customer)) is None:
        raise Refused(f"there is no customer {arguments.customer}; scripts/connect list shows all")
    named = ("tokens", "money", "time_zone", "at_limit", "text", "model")
    given = {name: getattr(arguments, name) for name in named} | {"chatbot_id": arguments.chatbot}
    given["money"] = None if given["money"] is None else float(given["money"])
    budget = check(BudgetSchema, "budget", given)
    about = {name: budget[name] for name in ("chatbot_id", "tokens", "money")}
    with db.transaction():
        budget_id = budgets.store(arguments.customer, budget, by_operator=True, is_open=arguments.customers_own)
        audited("budgets", "budget.set", "budget", budget_id, arguments.customer, **about)
    stored = budgets.counted(budget_id)
    whose = f"chatbot {stored['chatbot_id']}" if stored["chatbot_id"] else f"customer {arguments.customer}"
    print(f"budget {stored['id']} of {whose}: {stored['spent_tokens']:,} tokens are spent in {stored['month']} so far")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    row = db.row(Budget.select(Budget.customer).where(Budget.id == arguments.id))
    with db.transaction():
        is_removed = row is not None and budgets.remove_budget(row["customer_id"], arguments.id, by_operator=True)
        if is_removed and row:
            audited("budgets", "budget.removed", "budget", arguments.id, row["customer_id"])
    if not is_removed:
        raise Refused(f"there is no budget {arguments.id}; scripts/budgets list shows all")
    print(f"budget {arguments.id} is removed")
    return 0


def _price(arguments: argparse.Namespace) -> int:
    costs = {name: getattr(arguments, name) for name in ("prompt", "completion", "minute")}
    key = {"base_url": _base_url(arguments), "model": arguments.model}
    check(prices.PriceSchema, "price", key | {name: float(cost) for name, cost in costs.items()})
    with db.transaction():
        address = prices.set_price(*key.values(), *costs.values())
        shown = {name: str(cost) for name, cost in costs.items()}
        audited("budgets", "price.set", "price", None, None, model=arguments.model, **shown)
    print(f"{arguments.model} at {address} costs this much for calls that end from now on")
    return 0


def _prices(_: argparse.Namespace) -> int:
    rows = prices.prices()
    if not rows:
        print("No model has a price. scripts/budgets price MODEL PROMPT COMPLETION sets one.")
        return 0
    costs = ("prompt", "completion", "minute")
    shown = ((row["model"], *(_short(row[name]) for name in costs), row["is_free"] or None, row["base_url"]) for row in rows)
    print_table(("model", *costs, "free", "at"), shown)
    return 0


def _forget_price(arguments: argparse.Namespace) -> int:
    with db.transaction():
        is_removed = prices.remove_price(_base_url(arguments), arguments.model)
        if is_removed:
            audited("budgets", "price.removed", "price", None, None, model=arguments.model)
    if not is_removed:
        raise Refused(f"{arguments.model} has no price there; scripts/budgets prices lists all")
    print(f"{arguments.model} has no price any more")
    return 0


def _base_url(arguments: argparse.Namespace) -> str:
    return arguments.base_url or settings().openai_base_url


def _whole(text: str) -> int:
    if not text.isascii() or not text.replace("_", "").isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or not 0 <= amount <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1000000, got {text!r}")
    return amount


if __name__ == "__main__":
    sys.exit(main())
