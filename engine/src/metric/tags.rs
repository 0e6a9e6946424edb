//! Tagged names, as Python carbon's TaggedSeries normalises them.
//! Two forms come in, `name;tag=value;...` and OpenMetrics' `name{tag="value",...}`; one goes out:
//! the name without leading `~`, then `;tag=value` in byte order. Of a tag given twice the last
//! counts; a tag called `name` is dropped.
//! What Python cannot parse it keeps as it is, and so do we: a name with a bad tag is still a
//! metric, and still filed under `_tagged` if it holds a `;`.
//! Never refuses: `normalise` says false, and the caller keeps the name.

/// Tags that are sorted on the stack; names with more, which are rare, cost an allocation.
const INLINE_TAGS: usize = 24;

/// Whether a canonical name is a tagged one.
pub(super) fn has_separator(name: &str) -> bool {
    memchr::memchr(b';', name.as_bytes()).is_some()
}

/// Whether a canonical name is `metric;tag=value;...` with good tags.
pub(super) fn is_sound(name: &str) -> bool {
    carbon(name).is_some()
}

/// Whether a name is in one of the two tagged forms, be its tags good or bad.
pub(super) fn has_form(name: &str) -> bool {
    has_separator(name) || has_braces(name)
}

/// Whether a name in a tagged form is what `normalise` makes of it, or what it must keep.
pub(super) fn is_settled(name: &str) -> bool {
    if has_braces(name) {
        return open_metrics(name).is_none();
    }
    let Some((metric, pairs)) = carbon(name) else {
        return true;
    };
    let mut keys = pairs.split(';').map(key);
    let Some(mut before) = keys.next() else {
        unreachable!("split gives at least one piece");
    };
    !metric.starts_with('~')
        && before != NAME_KEY
        && keys.all(|key| {
            let rises = before < key && key != NAME_KEY;
            before = key;
            rises
        })
}

/// Appends the normal form of a name in a tagged form; false where Python raises instead.
pub(super) fn normalise(name: &str, normal: &mut String) -> bool {
    if !has_braces(name) {
        let Some((metric, pairs)) = carbon(name) else {
            return false;
        };
        assemble(metric, pairs, normal);
        return true;
    }
    let Some((metric, mut rest)) = open_metrics(name) else {
        return false;
    };
    let mut pairs = String::with_capacity(rest.len());
    while let Some((key, value, after)) = next_pair(rest) {
        if !pairs.is_empty() {
            pairs.push(';');
        }
        pairs.push_str(key);
        pairs.push('=');
        unescape(value, &mut pairs);
        rest = after;
    }
    assemble(metric, &pairs, normal);
    true
}

/// The key of `name=...`, which Python keeps for the metric itself.
const NAME_KEY: &str = "name=";

fn has_braces(name: &str) -> bool {
    name.ends_with("\"}") && name.contains('{')
}

/// Metric and pairs of `metric;tag=value;...` if all of it is valid.
fn carbon(name: &str) -> Option<(&str, &str)> {
    let (metric, pairs) = name.split_once(';')?;
    let valid = pairs.split(';').all(|pair| {
        pair.split_once('=')
            .is_some_and(|(key, value)| is_valid(key, value))
    });
    (valid && has_name(metric)).then_some((metric, pairs))
}

/// Metric and inner part of `metric{tag="value",...}` if all of it is valid. Values are checked
/// with their escapes: those stand for `"` and `\`, which no check looks for.
fn open_metrics(name: &str) -> Option<(&str, &str)> {
    let (metric, inner) = name.strip_suffix('}')?.split_once('{')?;
    if inner.contains('{') || !has_name(metric) {
        return None;
    }
    let mut rest = inner;
    while !rest.is_empty() {
        let (key, value, after) = next_pair(rest)?;
        if !is_valid(key, value) {
            return None;
        }
        rest = after;
    }
    Some((metric, inner))
}

/// The first `tag="value"` of the inner part of braces: tag, value with its escapes, and what
/// follows the comma. Python's pattern takes `:,` for a comma too.
fn next_pair(text: &str) -> Option<(&str, &str, &str)> {
    let (key, quoted) = text.split_once('=')?;
    let quoted = quoted.strip_prefix('"')?;
    let mut bytes = quoted.bytes().enumerate();
    let end = loop {
        match bytes.next()? {
            (at, b'"') => break at,
            (_, b'\\') if !matches!(bytes.next()?, (_, b'"' | b'\\')) => return None,
            _ => {}
        }
    };
    let (value, after) = (&quoted[..end], &quoted[end + 1..]);
    let rest = after.strip_prefix(":,").or_else(|| after.strip_prefix(','));
    match rest {
        Some(rest) => Some((key, value, rest)),
        None => after.is_empty().then_some((key, value, "")),
    }
}

fn has_name(metric: &str) -> bool {
    !metric.trim_start_matches('~').is_empty()
}

fn is_valid(key: &str, value: &str) -> bool {
    let bad_key = key.is_empty() || key.contains([';', '!', '^', '=']);
    let bad_value = value.is_empty() || value.starts_with('~') || value.contains(';');
    !bad_key && !bad_value
}

/// Appends the metric and its pairs, which are joined by `;`, in order and each tag once.
fn assemble(metric: &str, pairs: &str, normal: &mut String) {
    let count = pairs.split(';').count();
    let mut inline = [""; INLINE_TAGS];
    let mut spilled = Vec::new();
    let sorted = if count <= INLINE_TAGS {
        &mut inline[..count]
    } else {
        spilled.resize(count, "");
        &mut spilled[..]
    };
    for (slot, pair) in sorted.iter_mut().zip(pairs.split(';')) {
        *slot = pair;
    }
    // Keys with their `=` sort as the whole pairs do, and equal keys keep the order of arrival.
    sorted.sort_by_key(|pair| key(pair));
    normal.push_str(metric.trim_start_matches('~'));
    for (index, pair) in sorted.iter().enumerate() {
        let replaced = sorted
            .get(index + 1)
            .is_some_and(|next| key(next) == key(pair));
        if !replaced && key(pair) != NAME_KEY {
            normal.push(';');
            normal.push_str(pair);
        }
    }
}

/// `tag=` of `tag=value`.
fn key(pair: &str) -> &str {
    pair.find('=').map_or(pair, |at| &pair[..=at])
}

fn unescape(escaped: &str, text: &mut String) {
    let mut characters = escaped.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            _ => text.push(c),
        }
    }
}
