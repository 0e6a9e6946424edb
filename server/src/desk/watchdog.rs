//! The service manager's watchdog: a sign of life is given only when every core has gone through a
//! turn of its loop since the last one, and so has the desk. A core that hangs, or a desk, ends the
//! signs, and the manager starts the daemon again; the journal has what was accepted.

use tokio::time::{MissedTickBehavior, interval};

use super::Desk;

impl Desk {
    /// Gives signs of life, twice as often as they are wanted.
    pub(super) async fn pet_watchdog(&self) {
        let Some(wanted) = self.notify.watchdog() else {
            return std::future::pending().await;
        };
        let mut ticks = interval(wanted / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Every core answers in a turn, or this never ends.
            Box::pin(self.totals()).await;
            self.notify.alive();
        }
    }
}
