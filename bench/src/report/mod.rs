//! What reports have in common: figures with the digits that count, and pages of HTML that need
//! nothing else: no script, no network. Plots are SVG, made here; colours follow the reader's choice
//! of light or dark, and a printed page is light.
//! Pure: numbers in, text out. A figure that is no number is left out of a plot, never drawn.

pub(crate) mod bars;
pub(crate) mod curves;
pub(crate) mod tables;

/// What every page looks like; a page adds what is its own.
const STYLE: &str = "\
:root { color-scheme: light dark; --bar: #4878a8; --ours: #c2571a; --faint: #8888; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --bar: #7aa5d2; --ours: #f08c4a; --paper: #1c1b1f; } }
@media print { :root { color-scheme: light; --bar: #4878a8; --ours: #c2571a; --paper: #fff; }
  body { margin: 0; font-size: 12px; } figure, tr, .card { break-inside: avoid; } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; }
pre { overflow-x: auto; font-size: 12px; }
figure { display: inline-block; margin: 0 1.5em 1em 0; vertical-align: top; max-width: 100%; }
figcaption { font-weight: 600; margin-bottom: 0.3em; }
svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.bar { fill: var(--bar); } .ours { fill: var(--ours); }
.whisker, .range { stroke: currentColor; stroke-width: 1.5; }
.range { stroke: var(--faint); stroke-width: 6; }
.axis { stroke: var(--faint); }
";

/// A whole page: `title` is plain text, `style` and `body` are what the page has of its own.
pub(crate) fn page(title: &str, style: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}{style}</style>\n<h1>{title}</h1>\n{body}</html>\n"
    )
}

/// A plot with its caption: `plot` is SVG in a field of this width and height.
fn framed(title: &str, plot: &str, (width, height): (f64, f64)) -> String {
    format!(
        "<figure><figcaption>{}</figcaption>\n\
         <svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         {plot}</svg></figure>\n",
        escape(title)
    )
}

/// Text that stands in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Three digits that count.
pub(crate) fn short(figure: f64) -> String {
    let decimals = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.decimals$}")
}

/// The nearest float: sums of bytes stay far below 2^53.
pub(crate) fn real(amount: u64) -> f64 {
    let (high, low) = (amount >> 32, amount & u64::from(u32::MAX));
    let part = |half: u64| f64::from(u32::try_from(half).unwrap_or(u32::MAX));
    part(high).mul_add(4_294_967_296.0, part(low))
}

/// The nearest whole number; 0 for what is below, or is no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast saturates, which is meant"
)]
pub(crate) fn whole(figure: f64) -> u64 {
    figure.round() as u64
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(amount: u64) -> String {
    let digits = amount.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What no page may have: it would fetch, or show what is no number.
    pub(crate) fn assert_whole(page: &str) {
        for foreign in ["http:", "https:", "<script", "url(", "@import", " src="] {
            assert!(!page.contains(foreign), "it fetches: {foreign}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{page}");
        assert!(page.ends_with("</html>\n"));
    }

    #[test]
    fn three_digits_count() {
        assert_eq!(short(0.1234), "0.12");
        assert_eq!(short(12.34), "12.3");
        assert_eq!(short(1234.5), "1234");
    }

    #[test]
    fn whole_numbers_are_easy_to_read() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((whole(2.5), whole(-1.0), whole(f64::NAN)), (3, 0, 0));
        assert!((real(1 << 40) - 1_099_511_627_776.0).abs() < 0.5);
    }

    #[test]
    fn a_page_is_whole() {
        let page = page("a <title>", ".x { color: red; }", "<p>x</p>\n");
        assert_whole(&page);
        assert!(page.contains("a &lt;title&gt;") && page.contains("prefers-color-scheme"));
    }
}
