//! What capabilities say of themselves, as metrics: `wharf_CAPABILITY_NAME`, with the app and the capability's own labels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use wharf_host::{Capability, Sample};

use crate::app::App;

/// The figures as they were when they were last looked up.
#[derive(Clone, Debug, Default)]
pub(super) struct CapabilityFigures(Arc<Mutex<BTreeMap<String, Figure>>>);

/// All samples of one name.
#[derive(Debug)]
struct Figure {
    help: &'static str,
    is_counter: bool,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl CapabilityFigures {
    pub fn look_up(&self, apps: &[App]) {
        let mut figures = BTreeMap::new();
        for app in apps {
            for capability in of_app(app) {
                for sample in capability.samples() {
                    add(&mut figures, app.name(), capability.name(), sample);
                }
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

/// Each once, though several components of an app have it.
fn of_app(app: &App) -> Vec<Arc<dyn Capability>> {
    let mut all: Vec<Arc<dyn Capability>> = Vec::new();
    for service in app.services() {
        for capability in service.capabilities().iter() {
            if !all.iter().any(|known| Arc::ptr_eq(known, capability)) {
                all.push(capability.clone());
            }
        }
    }
    all
}

fn add(figures: &mut BTreeMap<String, Figure>, app: &str, capability: &str, sample: Sample) {
    let name = format!("{}_{}", capability.replace('-', "_"), sample.name);
    let figure = figures.entry(name).or_insert_with(|| Figure {
        help: sample.help,
        is_counter: sample.is_counter,
        samples: Vec::new(),
    });
    let mut labels = vec![("app", app.to_owned())];
    labels.extend(sample.labels);
    // Several may speak of one thing, such as of a component that is linked to from many sides.
    if !figure.samples.iter().any(|(known, _)| *known == labels) {
        figure.samples.push((labels, sample.value));
    }
}

impl Collector for CapabilityFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, figure) in figures.iter() {
            let kind = match figure.is_counter {
                true => MetricType::Counter,
                false => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(name, figure.help, None, kind)?;
            for (labels, value) in &figure.samples {
                let encoder = metric.encode_family(labels)?;
                match figure.is_counter {
                    true => ConstCounter::new(*value).encode(encoder)?,
                    false => ConstGauge::new(*value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}
