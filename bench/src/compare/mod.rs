//! `benzene-bench compare`: the same work on a spinning disk and on flash, each treated as Benzene
//! treats its class: single updates and creates, a real daemon in its steady state at several rates,
//! and the limiter from strangled to without a limit. For each disk it finds the highest rate of
//! updates at which the daemon does not fall behind, and says how many metrics at which step that carries.
//! Disks are measured one after the other, so that they share nothing but the machine.
//! Everything is made in a directory of its own on the disk and goes away in the end, also after an
//! error, SIGINT and SIGTERM; the model disks that it makes too. A report is written whole or not at
//! all.

mod args;
mod figures;
mod load;
mod page;
mod search;
mod single;
mod steady;
mod stop;
mod subject;
mod text;
mod verdict;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use benzene_engine::device::Class;

use crate::machine;
use crate::report::{short, whole};
pub(crate) use args::CompareArgs;
use args::{Extent, Wanted};
use figures::{AsShipped, Comparison, DiskFigures, Steady, Sustained};
use search::Search;
use steady::{Runner, Stretch};
use stop::Interrupt;
use subject::Subject;

/// The order of a daemon whose rates are looked for: carbon's own, that writes what it has.
const ORDER: &str = "sorted";
/// Limited: points that come in, as a multiple of the rate that was found. So many points an update has
/// without a limit.
const LIMITED_LOAD: f64 = 2.0;
/// Limited: seconds in which every metric is written once at the rate that was found: more than the
/// syncs between which a file leaves the memory.
const LIMITED_LAP_S: f64 = 5.0;
/// Limited: laps over all metrics before it counts.
const LIMITED_LAPS: f64 = 1.25;
/// As shipped: hold times and metrics are so many times fewer, at least.
const SHIPPED_SCALE: u32 = 10;
/// As shipped: the longest hold time, or it would take long.
const SHIPPED_HOLD_S_MAX: u32 = 15;
/// As shipped: the shortest hold time with which whole seconds tell something.
const SHIPPED_HOLD_S_MIN: u32 = 4;
/// As shipped: a point of each metric so often, as one every ten seconds is at full scale.
const SHIPPED_STEP_S: f64 = 1.0;

/// Runs it all and reports. True: each disk holds some rate.
pub(crate) fn command(args: &CompareArgs) -> Result<bool> {
    let comparison = match &args.from {
        Some(path) => read(path)?,
        None => compare(args)?,
    };
    print!("{}", text::text(&comparison));
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&comparison)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.html {
        fs::write(path, page::page(&comparison))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut found = comparison.disks.iter().map(|disk| disk.cold.updates_per_s);
    Ok(found.all(|rate| rate.is_some()))
}

/// An earlier comparison.
fn read(path: &Path) -> Result<Comparison> {
    let json =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&json).with_context(|| format!("{} is no comparison", path.display()))
}

/// A new one.
fn compare(args: &CompareArgs) -> Result<Comparison> {
    let wanted = args.wanted()?;
    let interrupt = Interrupt::listen()?;
    let mut head = machine::head(&args.daemon.parent(), Some(&args.daemon.program()?));
    if let Some(note) = &args.note {
        let line = format!("{:<11} {note}\n", "note");
        head.push_str(&line);
    }
    let extent = args.extent();
    let mut disks = Vec::new();
    for one in &wanted {
        disks.push(measure(args, one, extent, &interrupt)?);
    }
    Ok(Comparison {
        head,
        definitions: text::DEFINITIONS.to_owned(),
        seconds_per_measurement: extent.seconds,
        disks,
    })
}

/// Everything of one disk.
fn measure(
    args: &CompareArgs,
    one: &(Class, Wanted),
    extent: Extent,
    interrupt: &Interrupt,
) -> Result<DiskFigures> {
    let mut subject = Subject::prepare(args, one, extent)?;
    eprintln!("{}: single updates and creates", subject.place.class);
    let single = single::rounds(&mut subject, extent, args.cold, interrupt)?;
    let hold_s = subject.place.hold_s;
    let mut runner = Runner::start(args, &subject, (ORDER, hold_s), interrupt)?;
    runner.meet_files()?;
    let estimate = |is_cold| {
        let rate = text::single_rate(&single, is_cold).unwrap_or(100.0);
        rate * extent.estimate_part
    };
    let mut disk = Measurement {
        subject: &subject,
        extent,
        runner: &mut runner,
    };
    let warm = disk.sustained(false, estimate(false))?;
    let cold = disk.sustained(true, estimate(true))?;
    let limiter = disk.limiter(&cold)?;
    runner.stop()?;
    let as_shipped = as_shipped(args, &subject, (extent, &cold), interrupt)?;
    Ok(DiskFigures {
        place: subject.place,
        single,
        cold,
        warm,
        limiter,
        as_shipped,
    })
}

/// A disk and the daemon on it.
struct Measurement<'m, 'd> {
    subject: &'m Subject,
    extent: Extent,
    runner: &'m mut Runner<'d>,
}

impl Measurement<'_, '_> {
    /// The highest rate that is held, and all that were tried.
    fn sustained(&mut self, is_cold: bool, estimate: f64) -> Result<Sustained> {
        let place = &self.subject.place;
        let state = if is_cold { "cold" } else { "warm" };
        eprintln!("{}: the highest rate it holds, {state} files", place.class);
        let mut search = Search::new(estimate, self.extent.goal);
        let mut rates = Vec::new();
        while let Some(rate) = search.next() {
            let steady = self.try_rate(rate, is_cold)?;
            search.tell(rate, steady.is_held);
            rates.push(steady);
        }
        for part in self.extent.rates.iter().filter(|_| is_cold) {
            let Some(found) = search.found() else { break };
            rates.push(self.try_rate(found * part, is_cold)?);
        }
        Ok(Sustained::new(rates, place.hold_s))
    }

    /// A stretch at one rate, all files in turn.
    fn try_rate(&mut self, rate: f64, is_cold: bool) -> Result<Steady> {
        let steady = self.runner.run(&Stretch {
            points_per_s: rate,
            metrics: self.subject.place.files,
            limit: None,
            is_cold,
            settle: Duration::ZERO,
            time: self.time(),
        })?;
        tell(&steady);
        Ok(steady)
    }

    /// The limiter from strangled to without a limit, at a load of more points than the disk can
    /// write one by one.
    fn limiter(&mut self, cold: &Sustained) -> Result<Vec<Steady>> {
        let Some(found) = cold.updates_per_s else {
            return Ok(Vec::new());
        };
        eprintln!("{}: the limiter", self.subject.place.class);
        let points_per_s = found * LIMITED_LOAD;
        let metrics = whole(found * LIMITED_LAP_S).max(1);
        let metrics = u32::try_from(metrics).unwrap_or(u32::MAX);
        let metrics = metrics.min(self.subject.place.files);
        let mut all = Vec::new();
        let limits = self.extent.limits.iter().map(|part| Some(part * found));
        for limit in limits.chain([None]) {
            let lap_s = f64::from(metrics) / limit.unwrap_or(found);
            let steady = self.runner.run(&Stretch {
                points_per_s,
                metrics,
                limit,
                is_cold: true,
                settle: Duration::from_secs_f64(LIMITED_LAPS * lap_s),
                time: self.time(),
            })?;
            tell(&steady);
            all.push(steady);
        }
        Ok(all)
    }

    /// A spinning disk has some syncs in twice the time.
    fn time(&self) -> Duration {
        let time = Duration::from_secs(u64::from(self.extent.seconds.max(2)));
        match self.subject.class {
            Class::Hdd => 2 * time,
            Class::Ssd | Class::Unknown => time,
        }
    }
}

/// The default order with as many metrics as are advised, hold times and metrics made fewer. None: no
/// rate is held, or it would take more files than there are.
fn as_shipped(
    args: &CompareArgs,
    subject: &Subject,
    (extent, cold): (Extent, &Sustained),
    interrupt: &Interrupt,
) -> Result<Option<AsShipped>> {
    let Some(advised) = cold.advised() else {
        return Ok(None);
    };
    let place = &subject.place;
    let fitting_s = whole((f64::from(place.files) / advised).floor());
    let hold_s = u32::try_from(fitting_s).unwrap_or(u32::MAX);
    let longest_s = (place.hold_s / SHIPPED_SCALE).min(SHIPPED_HOLD_S_MAX);
    let hold_s = hold_s.min(longest_s);
    if hold_s < SHIPPED_HOLD_S_MIN {
        return Ok(None);
    }
    eprintln!("{}: as shipped, points held for {hold_s} s", place.class);
    let metrics = u32::try_from(whole(advised * f64::from(hold_s)))?.max(1);
    let mut runner = Runner::start(args, subject, ("deadline", hold_s), interrupt)?;
    runner.meet_files()?;
    let hold = Duration::from_secs(u64::from(hold_s));
    let steady = runner.run(&Stretch {
        points_per_s: f64::from(metrics) / SHIPPED_STEP_S,
        metrics: metrics.min(place.files),
        limit: None,
        is_cold: true,
        settle: 2 * hold,
        time: (2 * hold).max(Duration::from_secs(u64::from(extent.seconds))),
    })?;
    tell(&steady);
    runner.stop()?;
    Ok(Some(AsShipped {
        hold_s,
        scale: f64::from(place.hold_s) / f64::from(hold_s),
        step_s: SHIPPED_STEP_S,
        steady,
    }))
}

/// A line of progress.
fn tell(steady: &Steady) {
    let Steady {
        offered_points_per_s: offered,
        updates_per_s: updates,
        cached_points: cached,
        behind_growth_s_per_s: behind,
        sync_lag_s: lag,
        ..
    } = steady;
    let limit = steady.limit_updates_per_s.map_or_else(
        || String::from("no limit"),
        |limit| format!("limit {}", short(limit)),
    );
    let verdict = if steady.is_held { "held" } else { "not held" };
    let device = steady.device_per_update;
    eprintln!(
        "  {} points/s, {limit}: {} updates/s, {} reads and {} writes each, cache {}, sync lag {} s, behind \
         {} s/s more: {verdict}",
        short(*offered),
        short(*updates),
        short(device.map_or(0.0, |device| device.reads)),
        short(device.map_or(0.0, |device| device.writes)),
        short(*cached),
        short(*lag),
        short(*behind)
    );
}
