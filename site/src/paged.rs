//! Lists of offers, page by page. The books are held for a few hundred offers at a time: others wait for them.

use actors::journal::Books;
use dashboards_server::OFFERS_LOOKED_AT_MAX;
use grid::ProsumerId;
use market::{FlexOfferId, Ledger};

/// The books are held for so many offers at a time.
pub(crate) const HELD_MAX: usize = 500;

/// Why a look into the books ended.
enum Ended {
    /// There is no more.
    AllSeen,
    /// There is more, and no more is wanted.
    Enough,
    /// Others had to wait for long enough.
    Held,
}

/// Which offers are gone through.
pub(crate) struct Span<'a> {
    /// Those whose names come after this one.
    pub after: Option<&'a FlexOfferId>,
    /// Those of these prosumers; all when it is `None`.
    pub owners: Option<&'a [ProsumerId]>,
    /// Until so many were found.
    pub most: usize,
}

/// What `look` finds of offers, by name, and the last one that was looked at when there may be more behind it: no more than
/// [`OFFERS_LOOKED_AT_MAX`] are looked at.
pub(crate) fn page<T>(
    books: &Books,
    span: &Span<'_>,
    look: impl Fn(&Ledger, &FlexOfferId) -> Option<T>,
) -> (Vec<T>, Option<FlexOfferId>) {
    let (mut found, mut after, mut looked_at) = (Vec::new(), span.after.cloned(), 0);
    loop {
        let mut seen = None;
        let ended = books.read(|ledger| {
            let mut names = ledger.offers_after(after.as_ref(), span.owners);
            for _ in 0..HELD_MAX {
                let Some(name) = names.next() else { return Ended::AllSeen };
                if found.len() == span.most || looked_at == OFFERS_LOOKED_AT_MAX {
                    return Ended::Enough;
                }
                looked_at += 1;
                seen = Some(name.clone());
                found.extend(look(ledger, name));
            }
            Ended::Held
        });
        after = seen.or(after);
        match ended {
            Ended::AllSeen => return (found, None),
            Ended::Enough => return (found, after),
            Ended::Held => {}
        }
    }
}
