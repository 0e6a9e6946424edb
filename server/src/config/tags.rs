//! What carbon.conf says of announcing series to graphite-web's tag index.
//! Nothing is asked of the network here.

use benzene_engine::limits::TAG_QUEUE_MAX;

use super::error::ConfigError;
use super::high::size;
use super::low::Low;
use super::value::Fault;
use crate::tagdb::{GraphiteUrl, TagSettings};

/// How series are announced; None where ENABLE_TAGS is off.
pub(super) fn tags(low: &Low) -> Result<Option<Box<TagSettings>>, ConfigError> {
    const URL: &str = "GRAPHITE_URL";
    const INTERVAL: &str = "TAG_UPDATE_INTERVAL";
    if !low.switch("ENABLE_TAGS") {
        return Ok(None);
    }
    let url = low.text(URL).unwrap_or_default();
    let url = GraphiteUrl::parse(&url).map_err(|problem| {
        let problem = problem.to_string();
        low.refuse(URL, Fault::NotGraphite { problem })
    })?;
    let Ok(update_interval) = u16::try_from(size(low, INTERVAL)) else {
        unreachable!("{INTERVAL} has a bound of 16 bits")
    };
    let queue_max = match size(low, "TAG_QUEUE_SIZE") {
        // As for Python's queues.
        0 => TAG_QUEUE_MAX,
        bounded => bounded,
    };
    Ok(Some(Box::new(TagSettings {
        url,
        update_interval,
        batch_max: size(low, "TAG_BATCH_SIZE"),
        queue_max,
        untagged: !low.switch("SKIP_TAGS_FOR_NONTAGGED"),
    })))
}
