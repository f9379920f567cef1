//! The two forms in which metrics are asked for: OpenMetrics, and Prometheus's older text.

/// The form of a page of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// OpenMetrics 1.0.0, which Prometheus prefers.
    OpenMetrics,
    /// Prometheus's text form, version 0.0.4.
    Plain,
}

impl TextForm {
    /// The form that an `accept` header asks for: the older one only where it names that alone.
    #[must_use]
    pub fn asked(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("text/plain") && !accept.contains("application/openmetrics-text") => {
                Self::Plain
            }
            _ => Self::OpenMetrics,
        }
    }

    /// The `content-type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A page that was written as OpenMetrics, in this form.
    #[must_use]
    pub fn write(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Plain => plain(&open_metrics),
        }
    }
}

/// In the older form a counter is described under the name of its samples, there are no units, and no word for information.
fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let lines: Vec<&str> = open_metrics.lines().collect();
    let suffix = |kind: &str| match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        _ => ("", ""),
    };
    for (n, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                let kind = lines.get(n + 1).and_then(|next| next.rsplit(' ').next()).unwrap_or_default();
                out.push_str(&format!("# HELP {name}{} {help}\n", suffix(kind).0));
            }
            ["#", "TYPE", name, kind] => match suffix(kind) {
                ("", _) => out.push_str(&format!("{line}\n")),
                (suffix, kind) => out.push_str(&format!("# TYPE {name}{suffix} {kind}\n")),
            },
            ["#", "UNIT", ..] | ["#", "EOF"] => {}
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_describes_a_counter_by_the_name_of_its_samples() {
        let open = "# HELP f_a Help.\n# TYPE f_a counter\nf_a_total{x=\"y # EOF\"} 1\n# HELP f_t_seconds T.\n# TYPE f_t_seconds \
                    gauge\n# UNIT f_t_seconds seconds\nf_t_seconds 2\n# HELP f_b B.\n# TYPE f_b info\nf_b_info 1\n# EOF\n";
        assert_eq!(
            TextForm::Plain.write(open.to_owned()),
            "# HELP f_a_total Help.\n# TYPE f_a_total counter\nf_a_total{x=\"y # EOF\"} 1\n# HELP f_t_seconds T.\n# TYPE \
             f_t_seconds gauge\nf_t_seconds 2\n# HELP f_b_info B.\n# TYPE f_b_info gauge\nf_b_info 1\n"
        );
        assert_eq!(TextForm::OpenMetrics.write(open.to_owned()), open);
    }

    #[test]
    fn the_older_form_is_for_those_who_read_no_other() {
        for (accept, form) in [
            (None, TextForm::OpenMetrics),
            (Some("*/*"), TextForm::OpenMetrics),
            (Some("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"), TextForm::OpenMetrics),
            (Some("text/plain;version=0.0.4"), TextForm::Plain),
        ] {
            assert_eq!(TextForm::asked(accept), form, "{accept:?}");
        }
    }
}
