//! What carbon.conf says of relaying the daemon's own metrics (RELAY_CACHE_METRICS). Options of the
//! relay act in [cache] only where that is on, and are not looked at otherwise.
//! What this relay cannot do is refused: points that go elsewhere than the operator thinks are worse
//! than no start.

use benzene_engine::limits::RELAY_QUEUE_POINTS_MAX;

use super::error::ConfigError;
use super::low::Low;
use super::option;
use super::value::{Fault, Kind, Value};
use crate::relay::{Destination, HashType, Method, RelaySettings};

const QUEUE: &str = "MAX_QUEUE_SIZE";
const MESSAGE: &str = "MAX_DATAPOINTS_PER_MESSAGE";
const REPLICAS: &str = "REPLICATION_FACTOR";

/// The switch.
pub(super) const SWITCH: &str = "RELAY_CACHE_METRICS";
/// What is looked at only where it is on.
pub(super) const OPTIONS: &[&str] = &[
    "DESTINATIONS",
    "RELAY_METHOD",
    "REPLICATION_FACTOR",
    "DIVERSE_REPLICAS",
    "ROUTER_HASH_TYPE",
    "MAX_QUEUE_SIZE",
    "MAX_QUEUE_SIZE_HARD_PCT",
    "MAX_DATAPOINTS_PER_MESSAGE",
];

/// How own metrics are relayed; None: they are stored here.
pub(super) fn relay(low: &Low) -> Result<Option<Box<RelaySettings>>, ConfigError> {
    const DESTINATIONS: &str = "DESTINATIONS";
    if !low.switch(SWITCH) {
        return Ok(None);
    }
    let written = low.text(DESTINATIONS).unwrap_or_default();
    let destinations = Destination::parse_all(&written).map_err(|problem| {
        let problem = problem.to_string();
        low.refuse(DESTINATIONS, Fault::NotDestinations { problem })
    })?;
    only(
        low,
        "DESTINATION_PROTOCOL",
        "pickle",
        "own metrics are relayed as pickles",
    )?;
    only(
        low,
        "DESTINATION_TRANSPORT",
        "none",
        "own metrics are relayed without TLS",
    )?;
    Ok(Some(Box::new(RelaySettings {
        destinations,
        method: method(low)?,
        queue_max: queue_max(low)?,
        message_points_max: number(low, MESSAGE)?,
    })))
}

/// The numbers in whose place others are used, where they are asked for.
pub(super) fn replaced(low: &Low) -> impl Iterator<Item = String> {
    let numbers = [QUEUE, MESSAGE, REPLICAS].into_iter();
    numbers.filter_map(|name| {
        let written = low.written(name)?;
        let (used, fault) = read(name, &written.text).ok()?;
        Some(written.replaced(&fault?, used.to_string()))
    })
}

/// A number that is read only here (`Kind::Loose`).
fn number(low: &Low, name: &'static str) -> Result<usize, ConfigError> {
    let text = low.text(name).unwrap_or_default();
    match read(name, &text) {
        Ok((Value::Integer(number), _)) => {
            let Ok(number) = number.try_into() else {
                unreachable!("{name} has a bound that fits memory: {number}")
            };
            Ok(number)
        }
        Ok((value, _)) => unreachable!("{name} is read as a number: {value:?}"),
        Err(fault) => Err(low.refuse(name, fault)),
    }
}

/// Reads one of them as it is read where it is asked for.
pub(super) fn read(name: &str, text: &str) -> Result<(Value, Option<Fault>), Fault> {
    let Some(option) = option::find(name) else {
        unreachable!("{name} is in the option table")
    };
    let Kind::Loose(bound) = option.kind else {
        unreachable!("{name} is read where it is asked for")
    };
    option.beyond.take(Kind::Integer(bound), text)
}

/// Refuses anything but one value.
fn only(
    low: &Low,
    name: &'static str,
    same: &'static str,
    reason: &'static str,
) -> Result<(), ConfigError> {
    match low.text(name) {
        Some(text) if text != same => Err(low.refuse(name, Fault::Refused { reason, same })),
        Some(_) | None => Ok(()),
    }
}

fn method(low: &Low) -> Result<Method, ConfigError> {
    const METHOD: &str = "RELAY_METHOD";
    const HASH: &str = "ROUTER_HASH_TYPE";
    match low.text(METHOD).as_deref() {
        Some("constant") => return Ok(Method::Constant),
        Some("consistent-hashing") => {}
        _ => {
            let fault = Fault::Refused {
                reason: "own metrics are relayed to all destinations (constant) or by consistent \
                         hashing, and by nothing else",
                same: "consistent-hashing",
            };
            return Err(low.refuse(METHOD, fault));
        }
    }
    let hash = match low.text(HASH) {
        None => HashType::default(),
        Some(name) => HashType::from_name(&name).ok_or_else(|| {
            let fault = Fault::Refused {
                reason: "hashes are carbon_ch, fnv1a_ch and mmh3_ch",
                same: "carbon_ch",
            };
            low.refuse(HASH, fault)
        })?,
    };
    Ok(Method::ConsistentHashing {
        hash,
        replicas: number(low, REPLICAS)?,
        diverse: low.switch("DIVERSE_REPLICAS"),
    })
}

/// As in Python, flow control gives a queue a quarter more than MAX_QUEUE_SIZE, or what
/// MAX_QUEUE_SIZE_HARD_PCT says.
fn queue_max(low: &Low) -> Result<usize, ConfigError> {
    const HARD: &str = "MAX_QUEUE_SIZE_HARD_PCT";
    let queue = number(low, QUEUE)?;
    if !low.switch("USE_FLOW_CONTROL") {
        return Ok(queue);
    }
    let written = low.text(HARD).unwrap_or_default();
    let hundredths = percent(&written).ok_or_else(|| low.refuse(HARD, Fault::NotFactor))?;
    Ok((queue * hundredths / 100).clamp(queue, RELAY_QUEUE_POINTS_MAX))
}

/// A factor from 1 to 10 in hundredths.
fn percent(text: &str) -> Option<usize> {
    let factor: f64 = text.parse().ok()?;
    if !(1.0..=10.0).contains(&factor) {
        return None;
    }
    format!("{:.0}", factor * 100.0).parse().ok()
}
