//! What a prosumer sold: by offer, slot by slot, with what each slot came to. Only what lasts is told.

#[cfg(test)]
mod tests;

use actors::journal::Books;
use dashboards_server::{Trade, TradedSlot, TradesAsked, TradesPage};
use grid::{ProsumerId, Slot};
use market::{FlexOfferId, Ledger, RecordNumber};

/// The books are held for so many offers at a time.
const HELD_MAX: usize = 500;

/// Why a look into the books ended.
enum Ended {
    AllSeen,
    Enough,
    Held,
}

/// A page of what was bought of a prosumer's offers, by the offers' names.
pub(crate) fn trades(books: &Books, asked: &TradesAsked) -> TradesPage {
    let durable = books.durable();
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut after = asked.after.clone();
    loop {
        let mut seen = None;
        let ended = books.read(|ledger| {
            let owners = [asked.prosumer];
            let mut names = ledger.offers_after(after.as_ref(), Some(&owners));
            for _ in 0..HELD_MAX {
                let Some(name) = names.next() else { return Ended::AllSeen };
                if found.len() == asked.most || looked_at == dashboards_server::OFFERS_LOOKED_AT_MAX {
                    return Ended::Enough;
                }
                looked_at += 1;
                seen = Some(name.clone());
                let trade = trade(ledger, name, asked.prosumer, durable);
                found.extend(trade.filter(|trade| trade.is_over() == asked.over));
            }
            Ended::Held
        });
        after = seen.or(after);
        match ended {
            Ended::AllSeen => return TradesPage { trades: found, next: None },
            Ended::Enough => return TradesPage { trades: found, next: after },
            Ended::Held => {}
        }
    }
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
