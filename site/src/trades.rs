//! What a prosumer sold: by offer, slot by slot, with what each slot came to. Only what lasts is told.

#[cfg(test)]
mod tests;

use crate::paged::{Span, page};
use actors::journal::Books;
use dashboards_server::{Trade, TradedSlot, TradesAsked, TradesPage};
use grid::{ProsumerId, Slot};
use market::{FlexOfferId, Ledger, RecordNumber};

/// A page of what was bought of a prosumer's offers, by the offers' names.
pub(crate) fn trades(books: &Books, asked: &TradesAsked) -> TradesPage {
    let durable = books.durable();
    let owners = [asked.prosumer];
    let span = Span { after: asked.after.as_ref(), owners: Some(&owners), most: asked.most };
    let (trades, next) = page(books, &span, |ledger, name| {
        trade(ledger, name, asked.prosumer, durable).filter(|trade| trade.is_over() == asked.over)
    });
    TradesPage { trades, next }
}

/// `None` for an offer that was not bought, or of which nothing was assigned.
fn trade(ledger: &Ledger, name: &FlexOfferId, prosumer: ProsumerId, durable: RecordNumber) -> Option<Trade> {
    let (contract, part, offer) = ledger.sold_as_of(name, durable)?;
    let slot = |&(slot, ordered): &(Slot, grid::EnergyMwh)| TradedSlot {
        slot,
        ordered,
        // What it rests on lasts; so does what follows from that.
        settled: ledger
            .settlement(&contract.id, name, slot)
            .filter(|settled| settled.cites.last().is_none_or(|newest| *newest <= durable))
            .cloned(),
    };
    Some(Trade {
        prosumer,
        contract: contract.id.clone(),
        offer: name.clone(),
        device: offer.device,
        agreed_at: contract.formed_at,
        prices: contract.prices,
        slots: part.deviation.iter().map(slot).collect(),
    })
}
