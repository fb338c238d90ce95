//! Numbers for Prometheus: what only memory knows is counted here, and a page of numbers is written as Prometheus reads it.
//! The one door to `prometheus`.
//!
//! What the ledger knows is not counted a second time: it is read when a page is asked for, and so survives a restart.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, Opts, Registry, TEXT_FORMAT, TextEncoder, core::Collector,
};

/// The content type of a page.
pub(crate) const FORMAT: &str = TEXT_FORMAT;

/// How long a certificate takes, in seconds: from a fast disk to one that a person notices.
const TAKES: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// What was counted since the start.
pub(crate) struct Tally {
    /// Certificates of units, by profile: those of the configuration, and so no more than there are.
    issued: BTreeMap<String, AtomicU64>,
    takes: Histogram,
    /// Whoever holds a clone shows the feed.
    screens: Arc<()>,
}

impl Tally {
    /// Nothing was counted yet, under these profiles.
    pub(crate) fn new<'a>(profiles: impl IntoIterator<Item = &'a String>) -> Self {
        let issued = profiles.into_iter().map(|name| (name.clone(), AtomicU64::new(0))).collect();
        let takes = HistogramOpts::new(
            "edge_certificate_issue_duration_seconds",
            "From a request that was read to its certificate on disk.",
        );
        let takes = Histogram::with_opts(takes.buckets(TAKES.to_vec())).expect("buckets that rise");
        Self { issued, takes, screens: Arc::new(()) }
    }

    /// A certificate of a unit is on disk.
    pub(crate) fn issued(&self, profile: &str, took: Duration) {
        if let Some(count) = self.issued.get(profile) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.takes.observe(took.as_secs_f64());
    }

    /// A screen shows the feed, for as long as what is returned is kept.
    pub(crate) fn screen(&self) -> Arc<()> {
        self.screens.clone()
    }

    /// Puts it on a page.
    pub(crate) fn tell(&self, page: &mut Page) {
        let issued = self.issued.iter();
        let issued = issued.map(|(name, count)| ([name.as_str()], count.load(Ordering::Relaxed)));
        page.counters(
            "edge_certificates_issued_total",
            "Certificates of units that were signed and written down since the start.",
            ["profile"],
            issued,
        );
        page.add(self.takes.clone());
        let screens = Arc::strong_count(&self.screens) - 1;
        page.gauge("edge_display_clients", "Screens and programs that show the live feed.", screens as f64);
    }
}

/// A page of numbers.
#[derive(Default)]
pub(crate) struct Page(Registry);

impl Page {
    /// Adds a number that rises and falls; nothing at all where there is none.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        self.gauges(name, help, [], value.into().map(|value| ([], value)));
    }

    /// Adds numbers that rise and fall, told apart by labels.
    pub(crate) fn gauges<'a, const L: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; L],
        values: impl IntoIterator<Item = ([&'a str; L], f64)>,
    ) {
        let family = GaugeVec::new(Opts::new(name, help), &labels).expect("names of our own");
        for (labels, value) in values {
            family.with_label_values(&labels).set(value);
        }
        self.add(family);
    }

    /// Adds a number that only rises.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [], [([], value)]);
    }

    /// Adds numbers that only rise, told apart by labels.
    pub(crate) fn counters<'a, const L: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; L],
        values: impl IntoIterator<Item = ([&'a str; L], u64)>,
    ) {
        let family = CounterVec::new(Opts::new(name, help), &labels).expect("names of our own");
        for (labels, value) in values {
            family.with_label_values(&labels).inc_by(value as f64);
        }
        self.add(family);
    }

    fn add(&mut self, family: impl Collector + 'static) {
        self.0.register(Box::new(family)).expect("every name is there once");
    }

    /// The page as text, by name.
    pub(crate) fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.gather()).expect("what is gathered can be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.gauge("edge_up", "It is.", 1.0);
        page.gauge("edge_unknown", "Nobody knows.", None);
        page.counters("edge_asked_total", "Asked.", ["why"], [(["a \"b\"\\\n"], 2), (["c"], 1 << 40)]);
        assert_eq!(
            page.text(),
            "# HELP edge_asked_total Asked.\n# TYPE edge_asked_total counter\n\
             edge_asked_total{why=\"a \\\"b\\\"\\\\\\n\"} 2\nedge_asked_total{why=\"c\"} 1099511627776\n\
             # HELP edge_up It is.\n# TYPE edge_up gauge\nedge_up 1\n"
        );
    }

    #[test]
    fn a_profile_that_nobody_configured_makes_no_label() {
        let tally = Tally::new([&"default".to_owned()]);
        tally.issued("default", Duration::from_millis(3));
        tally.issued("made-up", Duration::from_millis(3));
        let (first, second) = (tally.screen(), tally.screen());
        drop(second);
        let mut page = Page::default();
        tally.tell(&mut page);
        drop(first);
        let text = page.text();
        assert!(text.contains("edge_certificates_issued_total{profile=\"default\"} 1\n"), "{text}");
        assert!(!text.contains("made-up"), "{text}");
        assert!(text.contains("edge_certificate_issue_duration_seconds_bucket{le=\"0.002\"} 0\n"), "{text}");
        assert!(text.contains("edge_certificate_issue_duration_seconds_bucket{le=\"0.005\"} 2\n"), "{text}");
        assert!(text.contains("edge_certificate_issue_duration_seconds_count 2\n"), "{text}");
        assert!(text.contains("edge_display_clients 1\n"), "{text}");
    }
}
