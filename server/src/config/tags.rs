//! What carbon.conf says of announcing series to graphite-web's tag index.
//! Nothing is asked of the network here.

use benzene_engine::limits::TAG_QUEUE_MAX;

use super::error::ConfigError;
use super::high::size;
use super::low::Low;
use super::value::Fault;
use crate::tagdb::{GraphiteUrl, TagSettings};

const ENABLE: &str = "ENABLE_TAGS";
const URL: &str = "GRAPHITE_URL";
/// How many series may wait; 0 is as many as can be.
pub(super) const TAG_QUEUE_SIZE: &str = "TAG_QUEUE_SIZE";

/// How series are announced; None where ENABLE_TAGS is off, or nobody is named to whom.
pub(super) fn tags(low: &Low) -> Result<Option<Box<TagSettings>>, ConfigError> {
    const INTERVAL: &str = "TAG_UPDATE_INTERVAL";
    let url = low.text(URL).unwrap_or_default();
    if !low.switch(ENABLE) || url.is_empty() {
        return Ok(None);
    }
    let url = GraphiteUrl::parse(&url).map_err(|problem| {
        let problem = problem.to_string();
        low.refuse(URL, Fault::NotGraphite { problem })
    })?;
    let Ok(update_interval) = u16::try_from(size(low, INTERVAL)) else {
        unreachable!("{INTERVAL} has a bound of 16 bits")
    };
    let queue_max = match size(low, TAG_QUEUE_SIZE) {
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

/// That series are to be announced, and to nobody.
pub(super) fn nowhere(low: &Low) -> Option<String> {
    let written = low.written(URL).filter(|written| written.text.is_empty());
    let written = written.filter(|_| low.switch(ENABLE))?;
    Some(format!(
        "{}: {URL} is empty, and no series is announced, as in Python carbon, whose posts all fail then; \
         write http://HOST:PORT of graphite-web, or {ENABLE} = False",
        written.place
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_url_nothing_is_announced_and_that_is_said_where_it_was_to_be() {
        for (conf, is_said) in [
            ("GRAPHITE_URL =", true),
            ("GRAPHITE_URL =\nENABLE_TAGS = True", true),
            ("GRAPHITE_URL =\nENABLE_TAGS = False", false),
            ("ENABLE_TAGS = False", false),
        ] {
            let low = Low::of(&format!("[cache]\n{conf}\n"));
            assert!(tags(&low).unwrap().is_none(), "{conf}");
            let said = nowhere(&low);
            assert_eq!(said.is_some(), is_said, "{conf}: {said:?}");
        }
        let low = Low::of("[cache]\nGRAPHITE_URL = http://web\n");
        assert!(tags(&low).unwrap().is_some());
        assert_eq!(nowhere(&low), None);
    }
}
