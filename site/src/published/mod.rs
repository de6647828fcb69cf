//! What the DSO's SCADA sees over OPC UA: the picture as variables (`docs/opcua.md`).
//!
//! * `catalogue` says which variables there are, by the network;
//! * `entries` what they hold, by the picture;
//! * `alarm` which limits are passed.

mod alarm;
mod catalogue;
mod entries;

use access::{Action, Resource};
use actors::picture::{NetworkPicture, Picture};
use connectors::opcua::server::{Admission, Answer, Server, ServerConfig, ServerError};
use dashboards_server::{Access, Admitted};
use entries::View;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// How often values are shown, at most.
const PERIOD: Duration = Duration::from_secs(1);

/// The picture on show.
pub struct Published {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Published {
    /// Starts to show every new picture. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn open(
        config: ServerConfig,
        network: &NetworkPicture,
        mut picture: watch::Receiver<Arc<Picture>>,
        access: Access,
    ) -> Result<Self, ServerError> {
        let (catalogue, mut view) = View::new(network);
        let people = People { access, turn: Arc::new(Semaphore::new(1)), inside: Arc::default() };
        let people = Arc::new(people);
        let server = Server::open(config, catalogue, people.clone()).await?;
        let address = server.address();
        tracing::info!(%address, thumbprint = server.thumbprint(), "opcua server listens");
        let (stop, mut stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            loop {
                let newest = picture.borrow_and_update().clone();
                if newest.seq > 0 {
                    server.publish(view.entries(&newest));
                }
                if people.somebody_lost_the_right() {
                    server.cut();
                }
                let next = async {
                    tokio::time::sleep(PERIOD).await;
                    picture.changed().await
                };
                tokio::select! {
                    changed = next => if changed.is_err() { break },
                    _ = &mut stopped => break,
                }
            }
            server.close().await;
        });
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all sessions and stops listening.
    pub async fn close(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Those who may look at the page may look here.
struct People {
    access: Access,
    /// Argon2 takes memory: one at a time.
    turn: Arc<Semaphore>,
    /// Who was let in, as long as the right lasts.
    inside: Arc<Mutex<BTreeSet<Admitted>>>,
}

impl People {
    /// Whether somebody who was let in may look no more; told once.
    fn somebody_lost_the_right(&self) -> bool {
        let Access::Accounts(accounts) = &self.access else { return false };
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inside.len();
        inside.retain(|admitted| accounts.still_admits(admitted));
        inside.len() < before
    }
}

impl Admission for People {
    fn admit(&self, name: &str, password: &str) -> Answer {
        let Access::Accounts(accounts) = &self.access else { return Box::pin(async { false }) };
        let (accounts, turn, inside) = (accounts.clone(), self.turn.clone(), self.inside.clone());
        let (name, password) = (name.to_owned(), password.to_owned());
        Box::pin(async move {
            let Ok(_turn) = turn.acquire().await else { return false };
            let asked = tokio::task::spawn_blocking(move || {
                accounts.admits("OPC UA", &name, &password, (Resource::Picture, Action::Read))
            });
            let Ok(Some(admitted)) = asked.await else { return false };
            inside.lock().unwrap_or_else(PoisonError::into_inner).insert(admitted);
            true
        })
    }
}
