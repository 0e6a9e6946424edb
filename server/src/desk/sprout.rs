//! A core's beginning, on the thread that will be its own for good: the thread is pinned, the ring is made,
//! the shard and the front are put together, and the core waits at the gate until all are there. Only then it
//! has its sockets and runs the loop.
//! Invariant: no core takes anything in while another may still fail to start; what the first had taken in for
//! the last would be lost with it. Meanwhile connections and datagrams wait with the kernel.
//! What cannot be had is said to who starts the cores; the thread then ends, as do all that wait when the
//! gate goes without having been opened.

use std::sync::{Arc, mpsc};

use benzene_engine::clock;
use benzene_engine::metric::ShardIndex;
use benzene_engine::ring::{Driver, Ring, RingError, host};
use benzene_engine::shard::{Shard, ShardConfig};

use super::doors::Bound;
use super::files::Files;
use crate::config::Service;
use crate::core::{Core, Diary, Peers};
use crate::front::{Front, FrontConfig};
use crate::lists::Lists;

/// Where the cores wait for each other. Dropped before it was opened, it sends them home.
#[derive(Debug, Default)]
pub(super) struct Gate(Vec<mpsc::Sender<()>>);

impl Gate {
    /// A place for one more core.
    pub(super) fn place(&mut self) -> Place {
        let (send, wait) = mpsc::channel();
        self.0.push(send);
        Place(wait)
    }

    /// Lets all of them go.
    pub(super) fn open(self) {
        for core in self.0 {
            assert!(core.send(()).is_ok(), "a core that was ready has gone");
        }
    }
}

/// One core's place at the gate.
#[derive(Debug)]
pub(super) struct Place(mpsc::Receiver<()>);

impl Place {
    /// Waits. Whether the core may run; if not, the start has failed.
    fn may_run(self) -> bool {
        self.0.recv().is_ok()
    }
}

/// What a core's thread is born with.
pub(super) struct Sprout {
    pub(super) index: ShardIndex,
    pub(super) cpu: Option<usize>,
    pub(super) sockets: Vec<Bound>,
    pub(super) driver: Driver,
    pub(super) files: Files,
    pub(super) shard: ShardConfig,
    pub(super) front: FrontConfig,
    pub(super) lists: Option<Arc<Lists>>,
    pub(super) peers: Arc<Peers>,
    pub(super) diary: Option<Diary>,
}

impl Sprout {
    /// Runs on the core's own thread: makes the ring there, says so, waits for the others, and runs the loop.
    pub(super) fn grow(mut self, ready: &mpsc::Sender<Result<String, RingError>>, place: Place) {
        if let Some(cpu) = self.cpu
            && let Err(error) = host::pin_to(cpu)
        {
            tracing::warn!("core {} is not pinned to CPU {cpu}: {error}", self.index.0);
        }
        let mut ring = match Ring::new(self.files.ring(self.driver)) {
            Ok(ring) => ring,
            Err(error) => return drop(ready.send(Err(error))),
        };
        ring.spare_heads(self.files.has_heads);
        let description = ring.description();
        let sockets = std::mem::take(&mut self.sockets);
        let mut core = self.core(ring);
        if ready.send(Ok(description)).is_err() || !place.may_run() {
            return;
        }
        for Bound { entrance, socket } in sockets {
            match entrance.service {
                Service::Datagram => core.serve(entrance, socket),
                Service::Line | Service::Pickle | Service::Protobuf | Service::Query => {
                    core.listen(entrance, socket);
                }
            }
        }
        core.run();
    }

    fn core(self, ring: Ring) -> Box<Core> {
        let now = clock::now();
        let mut front = Front::new(self.front, now);
        let mut shard = Shard::new(self.shard, now);
        if let Some(lists) = self.lists {
            front.set_lists(lists, &mut shard);
        }
        let mut core = Box::new(Core::new(self.index, ring, shard, front, self.peers));
        core.keep_diary(self.diary);
        core
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes threads")]
mod tests {
    use super::*;

    #[test]
    fn cores_run_when_all_are_ready_or_not_at_all() {
        for (is_opened, cores) in [(true, 3), (false, 3)] {
            let mut gate = Gate::default();
            let (send, said) = mpsc::channel();
            let threads: Vec<_> = (0..cores)
                .map(|_| {
                    let (place, send) = (gate.place(), send.clone());
                    std::thread::spawn(move || send.send(place.may_run()).unwrap())
                })
                .collect();
            let early = said.recv_timeout(std::time::Duration::from_millis(50));
            assert_eq!(
                early,
                Err(mpsc::RecvTimeoutError::Timeout),
                "one went before the others"
            );
            if is_opened {
                gate.open();
            } else {
                drop(gate);
            }
            for thread in threads {
                thread.join().unwrap();
            }
            drop(send);
            assert_eq!(said.iter().collect::<Vec<bool>>(), vec![is_opened; cores]);
        }
    }
}
