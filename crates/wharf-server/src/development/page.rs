//! The page in the place of what does not build.

const PAGE: &str = include_str!("page.html");

/// The page with what is wrong, and a script behind it.
pub(super) fn of(trouble: &str, script: &str) -> String {
    PAGE.replace("{{script}}", script)
        .replace("{{trouble}}", &escaped(trouble))
}

/// Text that is no markup (HTML, section 13.3).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_say_is_no_markup() {
        let page = of("expected `Vec<u8>`, found `&str` {{script}}", "<script></script>");
        assert!(
            page.contains("expected `Vec&lt;u8&gt;`, found `&amp;str` {{script}}"),
            "{page}"
        );
        assert!(page.ends_with("<script></script>\n"), "{page}");
    }
}
