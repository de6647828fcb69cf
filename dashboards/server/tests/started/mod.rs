//! A server without a system behind it: no market, an empty picture, and time that is set by hand.

use actors::picture::{NetworkPicture, Picture};
use dashboards_server::{Access, Accounts, MarketDoor, OfferAnswer, OfferFound, Served};
use futures_util::future::BoxFuture;
use grid::{Clock, Timestamp};
use market::{FlexOffer, FlexOfferId};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::watch;

struct NoMarket;

impl MarketDoor for NoMarket {
    fn submit(&self, _: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        Box::pin(std::future::ready(OfferAnswer::Accepted))
    }

    fn find(&self, _: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        Box::pin(std::future::ready(None))
    }
}

/// A clock that is set by hand, seconds.
#[derive(Debug)]
pub struct Hand(pub AtomicI64);

impl Hand {
    pub fn at(seconds: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(seconds)))
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

/// What is served to these accounts; the picture lasts as long as its sender.
pub fn served(accounts: Accounts) -> (watch::Sender<Arc<Picture>>, Served) {
    let (sender, picture) = watch::channel(Arc::new(Picture::default()));
    let served = Served {
        network: Arc::new(NetworkPicture::default()),
        picture,
        market: Arc::new(NoMarket),
        operations: Default::default(),
        topology: Default::default(),
        pseudonyms: Default::default(),
        field: None,
        register: None,
        access: Access::Accounts(Arc::new(accounts)),
    };
    (sender, served)
}
