//! What comes by the clock alone, for hours: forecasts, outlooks, estimates, rounds, bills. Whoever works by a timer has one of each
//! waiting, however long it takes and whatever else there is to do.

use super::{FEW, Running, check, message, most};
use actors::runtime::Compute;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn what_comes_by_the_clock_does_not_pile_up() {
    let mut running = Running::start("2026-01-15T16:00:10Z", Vec::new(), Compute::Inline).await;
    let begun = tokio::time::Instant::now();
    for minute in 0..6 * 60_u32 {
        for number in 0..8 {
            let now = running.now.plus(begun.elapsed());
            running.writer.send(message(minute * 8 + number, now)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let seen = running.system.picture().borrow().health.estimator.at;
    assert!(seen.is_some_and(|at| at > running.now.plus(Duration::from_secs(6 * 3_500))), "{seen:?}");
    for kind in ["billing", "doms", "settlement", "matcher", "egress"] {
        assert!(most(running.depths(), kind) <= FEW, "{kind}: {:?}", running.depths().most_by_kind());
    }
    assert!(most(running.depths(), "doms") > 0 && most(running.depths(), "billing") > 0);
    check(running.depths());
    running.system.stop().await;
}
