from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Line:
    description: str
    quantity: int
    unit_price: Decimal


def total(lines: list[Line], vat: Decimal = Decimal("0.19")) -> Decimal:
    """Sum of an invoice with value added tax, rounded to cents."""
    net = sum((line.quantity * line.unit_price for line in lines), Decimal(0))
    return (net * (1 + vat)).quantize(Decimal("0.01"))


def overdue(invoices, today):
    for invoice in invoices:
        if invoice.paid_at is None and invoice.due_at < today:
            yield invoice
