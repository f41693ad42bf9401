//! How many tokens a text costs a model, and the lines that fit.
//!
//! An estimate without a vocabulary: the text is cut about where the `cl100k_base` tokenizer cuts it first (words,
//! digits, spaces, symbols), and each kind of piece has a price, fitted to YAML, TSV, logs, source, prose, digests and
//! base64. Rather too dear than too cheap: of any 1,500 characters of these, the estimate was 0.92 to 1.4 times the
//! count.

/// Prices, in thousandths of a token.
mod price {
    pub(super) const WORD: u64 = 1_150;
    /// Of a word, for each letter beyond [`LONG`].
    pub(super) const LONG_LETTER: u64 = 300;
    pub(super) const LONG: u64 = 10;
    /// Letters that no language writes: `x2x8p`, base64.
    pub(super) const RANDOM: u64 = 960;
    pub(super) const RANDOM_LETTER: u64 = 450;
    pub(super) const CAPITALS: u64 = 1_460;
    pub(super) const CAPITAL: u64 = 150;
    /// Up to three digits.
    pub(super) const DIGITS: u64 = 1_050;
    /// Several spaces, or one before a digit; any other is part of the next word.
    pub(super) const SPACES: u64 = 590;
    /// A line break or a tab.
    pub(super) const BREAK: u64 = 925;
    /// Equal symbols in a row.
    pub(super) const SYMBOL: u64 = 620;
    pub(super) const SYMBOL_AGAIN: u64 = 60;
    /// Any other character, by its length in UTF-8.
    pub(super) const TWO_BYTES: u64 = 600;
    pub(super) const THREE_BYTES: u64 = 1_300;
    pub(super) const FOUR_BYTES: u64 = 3_000;
}

/// About how many tokens (`cl100k_base`) the text is; rather too many than too few.
pub fn tokens(text: &str) -> usize {
    usize::try_from(weigh(text).div_ceil(1_000)).unwrap_or(usize::MAX)
}

/// The first lines of the text that together are at most `max_tokens`, and how many lines were left out after them.
///
/// Lines are never cut: if the first one is too long, nothing is left.
pub fn fit_lines(text: &str, max_tokens: usize) -> (String, usize) {
    let max = u64::try_from(max_tokens).unwrap_or(u64::MAX).saturating_mul(1_000);
    let (mut weight, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        weight += weigh(line);
        if weight > max {
            break;
        }
        end += line.len();
    }
    let (kept, omitted) = text.split_at_checked(end).unwrap_or((text, ""));
    (kept.to_owned(), omitted.lines().count())
}

/// The price of the text, in thousandths of a token. Of several lines, it is the sum of the lines'.
fn weigh(text: &str) -> u64 {
    let mut rest = text;
    let mut sum = 0;
    while let Some(first) = rest.chars().next() {
        let (len, price) = piece(rest, first);
        sum += price;
        rest = rest.get(len..).unwrap_or_default();
    }
    sum
}

/// Length and price of the piece that begins the text.
fn piece(text: &str, first: char) -> (usize, u64) {
    let bytes = text.as_bytes();
    let run = |test: &dyn Fn(&u8) -> bool| bytes.iter().take_while(|b| test(b)).count();
    let times = |count: usize, price: u64| price.saturating_mul(count as u64);
    match first {
        'A'..='Z' | 'a'..='z' => letters(bytes),
        '0'..='9' => {
            let digits = run(&u8::is_ascii_digit);
            (digits, times(digits.div_ceil(3), price::DIGITS))
        }
        ' ' => {
            let spaces = run(&|b| *b == b' ');
            let apart = spaces > 1 || bytes.get(1).is_some_and(u8::is_ascii_digit);
            let before_digit = spaces > 1 && bytes.get(spaces).is_some_and(u8::is_ascii_digit);
            (spaces, times(usize::from(apart) + usize::from(before_digit), price::SPACES))
        }
        '\n' | '\r' | '\t' => (1, price::BREAK),
        '\0'..='\u{7f}' => {
            let symbols = run(&|b| char::from(*b) == first);
            (symbols, price::SYMBOL + times(symbols - 1, price::SYMBOL_AGAIN))
        }
        '\u{80}'..='\u{7ff}' => (2, price::TWO_BYTES),
        '\u{800}'..='\u{ffff}' => (3, price::THREE_BYTES),
        '\u{10000}'.. => (4, price::FOUR_BYTES),
    }
}

/// Length and price of one word, up to the next hump: `Crash`, `Loop`, `HTTP` before `Server`.
fn letters(bytes: &[u8]) -> (usize, u64) {
    let capitals = bytes.iter().take_while(|b| b.is_ascii_uppercase()).count();
    let small = bytes.iter().skip(capitals).take_while(|b| b.is_ascii_lowercase()).count();
    if capitals > 1 || small == 0 {
        // the last capital belongs to the word after it
        let len = if small > 0 { capitals - 1 } else { capitals };
        return (len, price::CAPITALS + price::CAPITAL * len as u64);
    }
    let len = capitals + small;
    let vowels = bytes.iter().take(len).filter(|b| b"aeiouyAEIOUY".contains(b)).count();
    let letters = len as u64;
    let price = if len > 2 && vowels * 5 < len {
        price::RANDOM + price::RANDOM_LETTER * letters
    } else {
        price::WORD + price::LONG_LETTER * letters.saturating_sub(price::LONG)
    };
    (len, price)
}

/// A text of at most `max` bytes; one that was longer ends with `…`.
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max.saturating_sub('…'.len_utf8())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with its count by `cl100k_base`.
    const COUNTED: &[(&str, usize)] = &[
        ("", 0),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: checkout\n  namespace: shop\nspec:\n  replicas: 2\n  template:\n    spec:\n      containers:\n      - image: ghcr.io/org/app:1.9.0\n",
            56,
        ),
        (
            "NAME\tREADY\tSTATUS\tRESTARTS\tAGE\ncart-7f5d4-9kq2m\t0/1\tTerminating\t0\t4d\ncheckout-6d4f9c7b8-x2x8p\t0/1\tCrashLoopBackOff\t7\t16m\n",
            69,
        ),
        (
            "2026-01-01T11:12:41.512Z ERROR [http-nio-8080-exec-7] c.e.s.OrderController : KeyError: 'PAYMENTS_URL' after 312ms\n",
            45,
        ),
        (
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKjMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n",
            89,
        ),
        (
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 6f1c8a5e-3f0a-4a9b-8f7e-2f0a6c1d9b3e\n",
            84,
        ),
        (
            "The scheduler found no node: 3 nodes are available, 2 of them have untolerated taints, 1 has too few CPUs.\n",
            31,
        ),
    ];

    #[test]
    fn the_estimate_is_rather_too_high() {
        for (text, count) in COUNTED {
            let estimate = tokens(text);
            assert!(estimate * 10 >= count * 9 && estimate * 10 <= count * 15 + 20, "{estimate} for {count}: {text}");
        }
    }

    #[test]
    fn lines_are_kept_whole() {
        let text = "one two\nthree four\nfive six\n";
        let each = tokens("one two\n");
        let cases = [
            (0, "", 3),
            (each - 1, "", 3),
            (each, "one two\n", 2),
            (2 * each, "one two\nthree four\n", 1),
            (usize::MAX, text, 0),
        ];
        for (max, kept, omitted) in cases {
            assert_eq!(fit_lines(text, max), (kept.to_owned(), omitted), "{max}");
        }
        assert_eq!(fit_lines("a\nb", 3), ("a\n".to_owned(), 1));
        assert_eq!(fit_lines("", 0), (String::new(), 0));
    }

    #[test]
    fn what_fits_is_within_the_budget() {
        let text: String = COUNTED.iter().map(|(text, _)| *text).collect();
        for max in 0..300 {
            let (kept, omitted) = fit_lines(&text, max);
            assert!(tokens(&kept) <= max);
            assert_eq!(kept.lines().count() + omitted, text.lines().count());
        }
    }
}
