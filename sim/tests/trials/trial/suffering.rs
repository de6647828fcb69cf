//! What goes wrong, and how the system is found afterwards.

use super::{Again, Ended, Life, STARTED_AGAIN, Trial, Waited};
use crate::disk::{State, Survives};
use crate::plan::{End, Mishap, bearable};
use crate::wire::Wire;
use grid::Clock;
use grid::defect::stumble_after;
use std::time::Duration;

/// How long a fault of the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long after it was made to stumble a stage may do so, and be made anew.
const STUMBLING: Duration = Duration::from_secs(300);

impl Trial {
    /// What happens; how the life ends, when it does.
    pub(super) async fn suffer(&mut self, life: &mut Life, wire: &Wire, mishap: Mishap) -> Option<Ended> {
        let again = Again { away: mishap.away, skew_s: Some(mishap.skew_s) };
        let died = |found: State| Some(Ended::Died(found, again));
        let patience = match mishap.end {
            End::Kill => {
                wire.cut();
                return died(life.disk.state().after_kill());
            }
            End::Crash(survives) => {
                wire.cut();
                return died(life.disk.state().after_power_cut(survives, &mut self.random));
            }
            End::Stumble(messages) => {
                self.stumbles += 1;
                stumble_after(Some(messages));
                self.lives.outage(self.truth.now(), self.truth.now().plus(STUMBLING));
                return None;
            }
            End::Clock(step, right_after) => {
                let since = self.truth.now().since(self.plan.scenario.start);
                self.machine.step(bearable(step, right_after, since), right_after);
                return None;
            }
            End::PowerAt(count) => {
                let mut state = life.disk.state();
                state.power_until = Some(state.operations + count);
                PATIENCE
            }
            End::PowerIn(words) => {
                life.disk.state().power_in = Some(words);
                PATIENCE
            }
            End::Fault(count, fault) => {
                let mut state = life.disk.state();
                state.fault = Some((state.operations + count, fault));
                PATIENCE
            }
            End::Full => {
                life.disk.state().room = Some(0);
                mishap.away
            }
        };
        self.outlast(life, wire, mishap.end, patience, again).await
    }

    /// Waits for a fault of the disk to show, and mends it when it does not end the life.
    async fn outlast(
        &mut self,
        life: &mut Life,
        wire: &Wire,
        end: End,
        patience: Duration,
        again: Again,
    ) -> Option<Ended> {
        let (from, until) = (self.truth.now(), self.truth.now().plus(patience).min(self.quiet()));
        if let End::Full = end {
            self.lives.outage(from, until.plus(Duration::from_secs(10)));
        }
        let waited = self.wait(life, wire, until).await;
        match waited {
            Waited::Reached => {
                let mut state = life.disk.state();
                (state.room, state.fault, state.power_until, state.power_in) = (None, None, None, None);
                None
            }
            Waited::ClockSet => Some(self.clock_set(life)),
            Waited::GaveUp => {
                let state = life.disk.state();
                Some(Ended::Died(
                    match end {
                        // The process stopped, the machine did not.
                        End::Fault(..) => state.after_kill(),
                        _ => state.after_power_cut(Survives::Some, &mut self.random),
                    },
                    again,
                ))
            }
        }
    }

    /// It ended because the machine's clock was set, and is started by that clock.
    pub(super) fn clock_set(&mut self, life: &Life) -> Ended {
        self.ran.clocks_set += 1;
        Ended::Died(life.disk.state().after_kill(), STARTED_AGAIN)
    }

    /// It gave up without a fault of the disk: only a stumbling journal may.
    pub(super) fn gave_up(&mut self, life: &Life) -> Ended {
        let reason = life.system.escalation().borrow().clone().unwrap_or_default();
        if reason.contains("journal") && reason.contains("stumbled on purpose") {
            return Ended::Died(life.disk.state().after_kill(), STARTED_AGAIN);
        }
        self.object([format!("the system gave up: {reason}")]);
        Ended::Over
    }
}
