//! Serves an invented evening on an invented feeder, so that the page can be worked on and photographed without
//! the running system: `cargo run -p dashboards-server --example replay -- 8081 [freeze|plain|evening] [NETWORK.json]`.
//!
//! Nothing here is calculated from physics. With `freeze` the picture stops after 20 s while the server lives
//! on, which the page must notice; with `plain` nothing is bought and the transformer is overloaded.

mod file;
mod invented;

use dashboards_server::{Access, MarketDoor, OfferAnswer, OfferFound, Served, serve};
use futures_util::future::BoxFuture;
use market::{FlexOffer, FlexOfferId};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

struct NoMarket;

impl MarketDoor for NoMarket {
    fn submit(&self, _offer: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        let sentence = "this is an invented evening without a market".to_owned();
        Box::pin(std::future::ready(OfferAnswer::Unavailable { code: "unavailable", sentence }))
    }

    fn find(&self, _id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        Box::pin(std::future::ready(None))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(8081), |text| text.parse())?;
    let mode = std::env::args().nth(2).unwrap_or_default();
    let freezes = mode == "freeze";
    let network = Arc::new(match std::env::args().nth(3) {
        Some(path) => file::network(&path)?,
        None => invented::network(),
    });
    let mut evening = invented::Evening::new(&network, mode != "plain");
    let (sender, picture) = watch::channel(Arc::new(evening.picture(&network)));
    let served = Served {
        network: Arc::clone(&network),
        picture,
        market: Arc::new(NoMarket),
        operations: Default::default(),
        register: None,
        topology: Default::default(),
        pseudonyms: Default::default(),
        field: None,
        access: Access::Local,
    };
    let server = serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), served).await?;
    tracing::info!(address = %server.address(), "invented evening");
    let mut interval = tokio::time::interval(Duration::from_millis(250));
    let mut ticks = 0;
    loop {
        tokio::select! {
            _ = interval.tick() => {
                ticks += 1;
                if !(freezes && ticks > 80) {
                    evening.step();
                    sender.send_replace(Arc::new(evening.picture(&network)));
                }
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    server.stop().await;
    Ok(())
}
