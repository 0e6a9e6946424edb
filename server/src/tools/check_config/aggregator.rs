//! aggregation-rules.conf and rewrite-rules.conf, which carbon-aggregator reads: a rule a line.
//! They are not ours to act on: whether that program can is what is said. Grammar and methods are
//! those of Python carbon 1.1.10; one bad line keeps it from starting.

use benzene_engine::schemas::pattern::{Pattern, Search};

use super::finding::Notes;
use super::storage::compile;

/// What an aggregation rule may do with the values of an interval.
const METHODS: [&str; 12] = [
    "sum", "avg", "min", "max", "count", "p50", "p75", "p80", "p90", "p95", "p99", "p999",
];

/// The form of a line of aggregation-rules.conf.
const FORM: &str = "write OUTPUT (SECONDS) = METHOD INPUT, such as \
                    <env>.all.cpu (60) = avg <env>.*.cpu";

/// A rule of either file: where it stands, what it says, and which names it takes.
#[derive(Debug)]
pub(super) struct LineRule {
    pub(super) line: usize,
    pub(super) said: String,
    pattern: Pattern,
}

/// The rules that take a metric.
pub(super) fn matching<'a>(
    rules: &'a [LineRule],
    metric: &'a str,
) -> impl Iterator<Item = &'a LineRule> {
    rules
        .iter()
        .filter(|rule| rule.pattern.search(metric) == Search::Match)
}

/// aggregation-rules.conf.
pub(super) fn aggregation_rules(text: &str, notes: &mut Notes) -> Vec<LineRule> {
    let mut rules = Vec::new();
    for (line, text) in rule_lines(text) {
        match aggregation_rule(text) {
            Ok(pattern) => {
                notes.ignored(line, format!("carbon-aggregator makes {text}"));
                let said = text.to_owned();
                rules.push(LineRule {
                    line,
                    said,
                    pattern,
                });
            }
            Err(wrong) => notes.error(line, format!("`{text}`: {wrong}")),
        }
    }
    rules
}

/// Lines that are no comments, with their numbers.
fn rule_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| (index + 1, line))
}

fn aggregation_rule(line: &str) -> Result<Pattern, String> {
    let form = || format!("that is no rule; {FORM}");
    let (left, right) = line.split_once('=').ok_or_else(form)?;
    let mut left = left.split_whitespace();
    let mut right = right.split_whitespace();
    let (Some(output), Some(frequency), None) = (left.next(), left.next(), left.next()) else {
        return Err(form());
    };
    let (Some(method), Some(input), None) = (right.next(), right.next(), right.next()) else {
        return Err(form());
    };
    let seconds = frequency.trim_start_matches('(').trim_end_matches(')');
    if !seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0) {
        return Err(format!(
            "{frequency} is no interval; write whole seconds, such as (60)"
        ));
    }
    if !METHODS.contains(&method) {
        let methods = METHODS.join(", ");
        return Err(format!(
            "there is no method {method}; write one of {methods}"
        ));
    }
    let pattern = compile(&input_pattern(input))?;
    let (_, fields) = pattern.groups();
    let wanted = output
        .split('<')
        .skip(1)
        .filter_map(|part| part.split_once('>'));
    for (field, _) in wanted {
        if !fields.iter().any(|known| known == field) {
            return Err(format!(
                "<{field}> of the output stands in no part of the input; write it there too"
            ));
        }
    }
    Ok(pattern)
}

/// The regular expression of an input pattern: a part between dots each, `<x>` captures one part,
/// `<<x>>` any number of them, `*` is anything without a dot.
fn input_pattern(input: &str) -> String {
    let parts = input.split('.').map(|part| {
        let field = |open: &str, close: &str, inside: &str| {
            let (before, rest) = part.split_once(open)?;
            let (name, after) = rest.split_once(close)?;
            Some(format!("{before}(?P<{name}>{inside}){after}"))
        };
        field("<<", ">>", ".+?")
            .or_else(|| field("<", ">", "[^.]+?"))
            .unwrap_or_else(|| match part {
                "*" => "[^.]+".to_owned(),
                _ => part.replace('*', "[^.]*"),
            })
    });
    let parts: Vec<String> = parts.collect();
    format!("^{}$", parts.join("\\."))
}

/// rewrite-rules.conf.
pub(super) fn rewrite_rules(text: &str, notes: &mut Notes) -> Vec<LineRule> {
    let mut rules = Vec::new();
    let mut section: Option<String> = None;
    for (line, text) in rule_lines(text) {
        if let Some(name) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            if !["pre", "post"].contains(&name.to_lowercase().as_str()) {
                let wrong = format!("[{name}] is not read; write [pre] or [post]");
                notes.warning(line, wrong);
            }
            section = Some(name.to_lowercase());
            continue;
        }
        let in_effect = matches!(section.as_deref(), Some("pre" | "post"));
        match rewrite_rule(text) {
            Ok(_) if section.is_none() => {
                let wrong = "stands before the first section and does nothing; put [pre] or [post] \
                             above it";
                notes.warning(line, format!("`{text}` {wrong}"));
            }
            Ok(pattern) if in_effect => {
                notes.ignored(line, format!("carbon-aggregator rewrites {text}"));
                let said = text.to_owned();
                rules.push(LineRule {
                    line,
                    said,
                    pattern,
                });
            }
            Ok(_) => {}
            Err(wrong) => notes.error(line, format!("`{text}`: {wrong}")),
        }
    }
    rules
}

fn rewrite_rule(line: &str) -> Result<Pattern, String> {
    let Some((pattern, replacement)) = line.split_once('=') else {
        return Err("that is no rule; write REGEX = REPLACEMENT".to_owned());
    };
    let pattern = compile(pattern.trim())?;
    let (groups, _) = pattern.groups();
    let mut signs = replacement.trim().chars().peekable();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            continue;
        }
        let Some(next) = signs.next() else {
            return Err("the replacement ends with a backslash; write \\\\ for one".to_owned());
        };
        if let Some(number) = next.to_digit(10)
            && usize::try_from(number).is_ok_and(|number| number > groups)
        {
            return Err(format!(
                "\\{number} refers to a group that the pattern does not have; it has {groups}"
            ) + "; write ( and ) around what is meant");
        }
    }
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_patterns_are_those_of_carbon_aggregator() {
        for (input, metric, takes) in [
            (
                "<env>.applications.<app>.*.requests",
                "prod.applications.apache.www01.requests",
                true,
            ),
            (
                "<env>.applications.<app>.*.requests",
                "prod.applications.apache.requests",
                false,
            ),
            ("<env>.<<all>>.cpu", "prod.a.b.cpu", true),
            ("web*.cpu", "web01.cpu", true),
            ("web*.cpu", "web01.x.cpu", false),
            ("a.b", "x.a.b", false),
        ] {
            let pattern = compile(&input_pattern(input)).unwrap();
            assert_eq!(
                pattern.search(metric) == Search::Match,
                takes,
                "{input} {metric}"
            );
        }
    }

    #[test]
    fn bad_rules_say_what_is_wrong_and_how_to_mend_it() {
        for (line, words) in [
            ("a.b (60) sum c", "no rule; write OUTPUT"),
            ("a.b 60 = sum c d", "no rule"),
            ("a.b (0) = sum c", "(0) is no interval; write"),
            ("a.b (60) = mean c", "no method mean; write one of sum"),
            ("<x>.b (60) = sum <y>.c", "<x> of the output"),
            ("a (60) = sum b(", "correct the pattern"),
        ] {
            let wrong = aggregation_rule(line).unwrap_err();
            assert!(wrong.contains(words), "{line}: {wrong}");
        }
        for (line, words) in [
            ("a", "write REGEX = REPLACEMENT"),
            ("(a) = \\2", "\\2 refers to a group"),
            ("a( = b", "correct the pattern"),
        ] {
            let wrong = rewrite_rule(line).unwrap_err();
            assert!(wrong.contains(words), "{line}: {wrong}");
        }
        assert!(rewrite_rule("^(a)\\.(b)$ = \\2.\\1").is_ok());
    }
}
