//! The load: so many points a second, each of the next metric, in an order that is not that of the
//! files on the disk. Goes round by round over all metrics.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use benzene_engine::clock;

use crate::daemon::pause;
use crate::writepath::site::metric_of;

/// How often points are sent.
const TICK: Duration = Duration::from_millis(20);
/// Steps to the next metric; a prime, so that all have their turn.
const STRIDE: u64 = 2_654_435_761;

/// A stretch of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    per_s: u32,
    seconds: u32,
}

/// A phase as `150:60`.
pub(crate) fn phase(text: &str) -> Result<Phase, String> {
    let numbers = text.split_once(':').and_then(|(rate, time)| {
        Some(Phase {
            per_s: rate.parse().ok()?,
            seconds: time.parse().ok()?,
        })
    });
    let usable = numbers.filter(|phase| phase.per_s > 0 && phase.seconds > 0);
    usable
        .ok_or_else(|| format!("{text:?} is no phase; 150:60 is 150 points a second for a minute"))
}

/// A connection to the line receiver.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: TcpStream,
    files: u32,
    sent: u64,
}

impl Sender {
    pub(crate) fn connect(address: SocketAddr, files: u32) -> Result<Self> {
        Ok(Self {
            socket: TcpStream::connect(address).context("cannot connect to the line receiver")?,
            files,
            sent: 0,
        })
    }

    /// Sends all phases, until `stop`.
    pub(crate) fn run(mut self, phases: &[Phase], stop: &AtomicBool) -> Result<()> {
        for phase in phases {
            let (begun, before) = (clock::now().instant, self.sent);
            let length = Duration::from_secs(phase.seconds.into());
            loop {
                let passed = clock::now().instant.saturating_duration_since(begun);
                if passed >= length || stop.load(Ordering::Relaxed) {
                    break;
                }
                let due = passed.as_millis() * u128::from(phase.per_s) / 1000;
                self.send_up_to(before + u64::try_from(due)?)?;
                pause(TICK);
            }
        }
        Ok(())
    }

    fn send_up_to(&mut self, due: u64) -> Result<()> {
        let (mut text, now) = (String::new(), clock::now().unix_seconds);
        while self.sent < due {
            let number = self.sent.wrapping_mul(STRIDE) % u64::from(self.files);
            let (metric, _) = metric_of(u32::try_from(number)?);
            writeln!(text, "{metric} {} {now}", self.sent)?;
            self.sent += 1;
        }
        self.socket
            .write_all(text.as_bytes())
            .context("cannot send")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read() {
        let read = phase("150:60").unwrap();
        assert_eq!((read.per_s, read.seconds), (150, 60));
        for text in ["", "150", "150:", "0:5", "5:0", "a:b", "1:2:3"] {
            assert!(phase(text).is_err(), "{text}");
        }
    }
}
