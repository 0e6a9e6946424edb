//! The control thread: everything that is not per point. It starts the cores, waits for signals,
//! reports the daemon's own metrics, and leads the stop (`stop`).
//! It shares no state with the cores but `Peers`; what it wants of them it puts into their inboxes.

mod adopted;
mod age;
mod cores;
mod cut_off;
mod disk;
mod doors;
mod files;
mod hold;
mod journal;
mod look;
mod mounts;
mod reading;
mod reload;
mod rules;
mod selfmetrics;
mod sprout;
mod start;
mod stop;
mod tuning;
mod volumes;
mod watch;
mod watchdog;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::latency::Latencies;
use benzene_engine::limiter::Room;
use benzene_engine::metric::ShardIndex;
use benzene_engine::point::Point;
use benzene_engine::ring::host;
use benzene_engine::stats::Counter;
use benzene_engine::writer::Away;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify as Hangup, mpsc};
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use crate::config::{Conf, ConfigError, Loaded, Rate, Rules, Settings, Written};
use crate::core::{Parcel, Peers};
use crate::exit::Exit;
use crate::logging::{self, Log, Logs};
use crate::process::{Notify, Process};
use crate::relay::Relay;
use crate::tagdb::TagDb;
use selfmetrics::{Totals, VolumeTotals};
use start::Running;
use stop::Begun;
use volumes::DataVolume;
pub(crate) use volumes::overlap as overlap_of_data;
use watch::Watch;

use doors::SocketFiles;
pub(crate) use doors::attempt as attempt_door;
pub(crate) use files::{core_ring, ring_of};
pub(crate) use hold::{Ended, Held, Holder, LOCK_NAME, rival};
use journal::JournalPlan;
pub(crate) use journal::{DRAIN_NAME, is_note, segments as journal_segments};
pub(crate) use mounts::noted as noted_mount;
pub(crate) use reading::{Stretch, drive, first_bytes, read_at};
pub(crate) use reload::give_to;
pub(crate) use start::{drive_of, shards_of};
pub(crate) use watch::out_of_reach;

/// Starts the daemon and serves until a signal ends it; `read_again` is asked what carbon.conf says
/// when that may have changed. A daemon that ends in order holds its instances yet: nobody else is to
/// answer for them before nothing of the process is in the way any more.
pub(crate) fn run(
    loaded: Loaded,
    read_again: &ReadAgain<'_>,
    log: Log,
    process: &mut Process,
) -> (Ended, Option<Held>) {
    if let Some(level) = loaded.settings.log_level
        && let Err(error) = log.set(level)
    {
        tracing::error!("LOG_LEVEL is not obeyed: {error}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start the control thread: {error}");
            return (Ended::of(Exit::Failure), None);
        }
    };
    // Before anything is accepted, so that a signal during the start loses nothing: it is served
    // once the cores run.
    let entered = runtime.enter();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("cannot listen for signals: {error}");
            return (Ended::of(Exit::Failure), None);
        }
    };
    drop(entered);
    let running = match start::start(&loaded, process) {
        Ok(running) => running,
        Err(error) => {
            tracing::error!("{error}");
            return (Ended::of(error.exit()), None);
        }
    };
    reload::say_out_of_reach(&loaded.settings);
    // As a thread, it is not before the user has changed.
    let lines = logging::write_apart();
    if let Err(error) = &lines {
        tracing::warn!("who does not read what is said here may hold the daemon up: {error}");
    }
    process.ready(&loaded.settings);
    // A relay runs on it.
    let entered = runtime.enter();
    let (desk, threads, (socket_files, held)) = Desk::new(loaded, running, log, process);
    drop(entered);
    let ended = runtime.block_on(desk.serve((&mut signals, &held), read_again));
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a core's thread ended badly");
        }
    }
    if let Some(journal) = &desk.journal {
        journal.end();
    }
    if let Some(tagdb) = desk.tagdb {
        tagdb.finish();
    }
    // A sync of a data disk that hangs is not waited for.
    runtime.shutdown_background();
    // Nobody listens any more.
    drop(socket_files);
    drop(lines);
    (ended, Some(held))
}

/// Reads carbon.conf once more.
pub type ReadAgain<'a> = dyn Fn() -> Result<Conf, ConfigError> + 'a;

/// What is given back once the cores have ended, in this order.
type Kept = (SocketFiles, Held);

struct Desk {
    settings: Settings,
    /// What carbon.conf said when it was last read.
    written: RefCell<Written>,
    /// What the files of rules said when they were last read and sound.
    rules: RefCell<Rules>,
    /// Which files are watched.
    watch: RefCell<Watch>,
    log: Log,
    updates_per_second_on_shutdown: Cell<Option<Rate>>,
    /// The room for points, which all cores share.
    room: Arc<Room>,
    peers: Arc<Peers>,
    /// The data directories; at least one.
    volumes: Vec<DataVolume>,
    /// Which of them are away.
    away: Arc<Away>,
    /// Held until the process ends.
    journal: Option<JournalPlan>,
    /// Who announces series to graphite-web.
    tagdb: Option<TagDb>,
    /// The service manager's ear.
    notify: Arc<Notify>,
    /// The way to the log files, where there are any.
    logs: Option<Logs>,
    /// Where own metrics go, if not into the own cache.
    relay: Option<Relay>,
}

/// The signals that a carbon daemon is sent.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGUSR1, SIGUSR2: Python carbon lives through them, and so do we.
    ignored: [Signal; 2],
}

/// What a signal asks for.
enum Heard {
    /// The end, by the signal of this name.
    End(&'static str),
    /// That the files are read again.
    Reload,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            ignored: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }

    /// Waits for a signal that asks for something.
    async fn next(&mut self) -> Heard {
        let [user1, user2] = &mut self.ignored;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Heard::End("SIGTERM"),
                _ = self.interrupt.recv() => return Heard::End("SIGINT"),
                _ = self.hangup.recv() => return Heard::Reload,
                _ = user1.recv() => {}
                _ = user2.recv() => {}
            }
        }
    }

    /// Waits for a signal that ends the daemon, and names it; does something at those that ask for the
    /// files to be read again.
    async fn end(&mut self, reload: impl Fn()) -> &'static str {
        loop {
            match self.next().await {
                Heard::End(name) => return name,
                Heard::Reload => reload(),
            }
        }
    }

    /// Waits, during a stop, for the signal that cuts it short: the second one. Who sends the first may
    /// not know that the daemon ends by itself.
    async fn second(&mut self, begun: Begun) -> &'static str {
        let reload = || tracing::info!("SIGHUP: too late, the daemon stops");
        if let Begun::ByItself(_) = begun {
            let name = self.end(reload).await;
            tracing::info!("{name}: the daemon stops already; a second signal cuts that short");
        }
        self.end(reload).await
    }
}

impl Desk {
    fn new(
        loaded: Loaded,
        running: Running,
        log: Log,
        process: &Process,
    ) -> (Box<Desk>, Vec<JoinHandle<()>>, Kept) {
        let settings = loaded.settings;
        let relay = settings.relay.as_deref().map(Relay::start);
        let desk = Desk {
            updates_per_second_on_shutdown: Cell::new(settings.updates_per_second_on_shutdown),
            watch: RefCell::new(Watch::new(&settings, &loaded.rules.prints)),
            rules: RefCell::new(loaded.rules),
            log,
            settings,
            written: RefCell::new(loaded.written),
            room: running.room,
            peers: running.peers,
            volumes: running.volumes,
            away: running.away,
            journal: running.journal,
            tagdb: running.tagdb,
            notify: process.notify(),
            logs: process.logs(),
            relay,
        };
        let kept = (running.socket_files, running.held);
        (Box::new(desk), running.threads, kept)
    }

    async fn serve(
        &self,
        (signals, held): (&mut Signals, &Held),
        read_again: &ReadAgain<'_>,
    ) -> Ended {
        let hangup = Hangup::new();
        let (begun, exit) = tokio::select! {
            name = signals.end(|| hangup.notify_one()) => (Begun::BySignal(name), Exit::Success),
            () = Box::pin(self.follow_files(read_again, &hangup)) => unreachable!("it never ends"),
            () = Box::pin(self.report_own_metrics()) => unreachable!("it never ends"),
            () = Box::pin(self.watch_lateness()) => unreachable!("it never ends"),
            () = self.tune() => unreachable!("it never ends"),
            () = Box::pin(self.pet_watchdog()) => unreachable!("it never ends"),
            () = Box::pin(self.watch_volumes()) => unreachable!("it never ends"),
            why = Box::pin(self.watch_journal()) => (Begun::ByItself(why), Exit::Journal),
        };
        if let Err(error) = held.note_stopping() {
            tracing::debug!("nothing says that the process stops: {error}");
        }
        self.notify.stopping();
        let stopped = tokio::select! {
            stopped = Box::pin(self.stop(begun, signals)) => stopped,
            () = Box::pin(self.pet_watchdog()) => unreachable!("it never ends"),
        };
        if stopped.exit == Exit::Success {
            Ended { exit, ..stopped }
        } else {
            stopped
        }
    }

    fn wake_all(&self) {
        for index in self.peers.indices() {
            self.peers.wake(index);
        }
    }

    /// Puts a parcel into one core's inbox, waiting while it is full.
    async fn tell(&self, index: ShardIndex, mut parcel: Parcel) {
        while let Err(back) = self.peers.push(index, parcel) {
            parcel = back;
            self.peers.wake(index);
            sleep(Duration::from_millis(1)).await;
        }
        self.peers.wake(index);
    }

    async fn tell_all(&self, parcel: impl Fn() -> Parcel) {
        for index in self.peers.indices() {
            self.tell(index, parcel()).await;
        }
    }

    /// The sums over all cores.
    async fn totals(&self) -> Totals {
        let (send, mut receive) = mpsc::unbounded_channel();
        self.tell_all(|| Parcel::Report(send.clone())).await;
        drop(send);
        let mut totals = Totals {
            cpu_s: host::cpu_seconds(),
            resident_bytes: host::resident_bytes().unwrap_or(0),
            volumes: self.volumes.iter().map(VolumeTotals::of).collect(),
            creates_per_minute: volumes::creates_per_minute(&self.volumes),
            refused_files: self.watch.borrow().refused() as u64,
            ..Totals::default()
        };
        while let Some((report, through)) = receive.recv().await {
            totals.add(&report, &through);
        }
        if let Some(tagdb) = &self.tagdb {
            tagdb.add_to(&mut totals.stats);
            totals.tags_queued = tagdb.queued();
        }
        let dropped = self.logs.as_ref().map_or(0, Logs::dropped);
        totals.stats.add(Counter::LoggedDropped, dropped);
        if let Some(relay) = &self.relay {
            relay.add_to(&mut totals.stats);
            totals.relay_queued = relay.queued();
        }
        totals
    }

    /// How long things took on all cores since this was last asked.
    async fn latencies(&self) -> Box<Latencies> {
        let (send, mut receive) = mpsc::unbounded_channel();
        self.tell_all(|| Parcel::Latencies(Box::default(), send.clone()))
            .await;
        drop(send);
        let mut all = Box::<Latencies>::default();
        while let Some(one) = receive.recv().await {
            all.merge(&one);
        }
        all
    }

    /// Hands our own metrics on: into the cache, or to other carbons.
    async fn hand_on(&self, points: Vec<(String, Point)>) {
        let Some(relay) = &self.relay else {
            return self.tell(ShardIndex(0), Parcel::Own(points)).await;
        };
        for (name, point) in points {
            relay.send(&name, point);
        }
    }

    /// Stores our own metrics every CARBON_METRIC_INTERVAL, the first after one interval.
    async fn report_own_metrics(&self) {
        let seconds = self.settings.metric_interval_s;
        if seconds == 0 {
            return std::future::pending().await;
        }
        let period = Duration::from_secs(u64::from(seconds));
        let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let prefixes = self.settings.instances.iter().map(|instance| {
            let host = host::hostname();
            selfmetrics::prefix(&self.settings.metric_prefix, &host, &instance.name)
        });
        let prefixes: Vec<String> = prefixes.collect();
        let mut before = Box::pin(self.totals()).await;
        let mut before_at = clock::now().instant;
        let mut stamped = 0;
        loop {
            ticks.tick().await;
            // They would be points that this start leaves of its own, were it cut off.
            if self
                .journal
                .as_ref()
                .is_some_and(JournalPlan::holds_senders)
            {
                continue;
            }
            let (mut after, now) = (Box::pin(self.totals()).await, clock::now());
            // A tick that came late may stand in the second of the next one, which then waits: two
            // values of one second would be one, and which of them, for each metric by itself.
            if now.unix_seconds == std::mem::replace(&mut stamped, now.unix_seconds) {
                continue;
            }
            let elapsed_s = now.instant.duration_since(before_at).as_secs_f64();
            after.latencies = Some(Box::pin(self.latencies()).await);
            let points: Vec<(String, Point)> = self
                .own_metrics((&before, &after), elapsed_s)
                .map(|(instance, name, value)| {
                    (
                        format!("{}.{name}", prefixes[instance]),
                        Point {
                            timestamp: now.unix_seconds,
                            value,
                        },
                    )
                })
                .collect();
            self.hand_on(points).await;
            (before, before_at) = (after, now.instant);
        }
    }

    /// The metrics of one interval: by the instance under whose name they go, without that.
    fn own_metrics(
        &self,
        (before, after): (&Totals, &Totals),
        elapsed_s: f64,
    ) -> impl Iterator<Item = (usize, String, f64)> {
        let instances = self.settings.instances.iter().enumerate();
        let mine = |name: &str| name == self.settings.instance;
        let points: Vec<(usize, Vec<(String, f64)>)> = instances
            .filter(|(_, it)| it.has_doors || mine(&it.name))
            .map(|(index, it)| {
                let points = if mine(&it.name) {
                    selfmetrics::points(before, after, (index, elapsed_s))
                } else {
                    selfmetrics::apart(before, after, index)
                };
                (index, points)
            })
            .collect();
        points.into_iter().flat_map(|(index, points)| {
            let named = points.into_iter();
            named.map(move |(name, value)| (index, name, value))
        })
    }
}
