//! A core's beginning, on the thread that will be its own for good: the thread is pinned, the ring is made,
//! the shard and the front are put together, and the loop runs.
//! What cannot be had is said to who starts the cores; the thread then ends.

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
    /// Runs on the core's own thread: makes the ring there, says so, and runs the loop.
    pub(super) fn grow(mut self, ready: &mpsc::Sender<Result<String, RingError>>) {
        if let Some(cpu) = self.cpu
            && let Err(error) = host::pin_to(cpu)
        {
            tracing::warn!("core {} is not pinned to CPU {cpu}: {error}", self.index.0);
        }
        let mut ring = match Ring::new(self.files.ring(self.driver)) {
            Ok(ring) => ring,
            Err(error) => return drop(ready.send(Err(error))),
        };
        ring.write_back(self.files.has_heads);
        ring.reads_by_workers(self.files.has_heads);
        let description = ring.description();
        let sockets = std::mem::take(&mut self.sockets);
        let mut core = self.core(ring);
        for Bound { entrance, socket } in sockets {
            match entrance.service {
                Service::Datagram => core.serve(entrance, socket),
                Service::Line | Service::Pickle | Service::Protobuf | Service::Query => {
                    core.listen(entrance, socket);
                }
            }
        }
        if ready.send(Ok(description)).is_ok() {
            core.run();
        }
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
