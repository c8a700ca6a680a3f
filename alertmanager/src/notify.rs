//! Delivery: the only part that awaits.
//!
//! [`run`] asks the engine what is due, hands each notification to the [`Deliver`] of its
//! integration, tries again while that makes sense, and tells the engine the outcome.

mod runner;
mod webhook;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::notification::{Integration, Notification};

pub use runner::{RunOptions, run};

/// A future that can be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    /// Whether trying again may help.
    pub retryable: bool,
    /// What happened, without secrets.
    pub message: String,
}

/// Brings notifications to one place.
pub trait Deliver: Send + Sync {
    /// Tries once. `Ok` means that the receiver has it.
    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<(), DeliveryError>>;
}

/// The deliverers of all integrations.
#[derive(Clone, Default)]
pub struct Deliverers(HashMap<(String, String, usize), Arc<dyn Deliver>>);

impl Deliverers {
    /// Deliverers of all integrations of a configuration.
    pub fn of_config(config: &Config) -> Result<Self> {
        let mut deliverers = Deliverers::default();
        for receiver in &config.receivers {
            for (index, settings) in receiver.webhooks.iter().enumerate() {
                let key = (receiver.name.clone(), "webhook".to_owned(), index);
                let deliver = webhook::WebhookDeliver::new(settings)?;
                deliverers.0.insert(key, Arc::new(deliver));
            }
        }
        Ok(deliverers)
    }

    /// Adds the deliverer of an integration that the engine was opened with.
    pub fn add(&mut self, integration: &Integration, deliver: Arc<dyn Deliver>) {
        let Integration { receiver, kind, index, .. } = integration;
        self.0.insert((receiver.clone(), kind.clone(), *index), deliver);
    }

    pub(crate) fn get(&self, integration: &Integration) -> Option<Arc<dyn Deliver>> {
        let Integration { receiver, kind, index, .. } = integration;
        self.0.get(&(receiver.clone(), kind.clone(), *index)).cloned()
    }
}

#[cfg(test)]
mod tests;
