//! Orders certificates from an authority and renews them in time (ACME, RFC 8555).
//!
//! What is sent and how it is signed is `instant-acme`'s; when, and what becomes of it, is here. Each name has a task of its
//! own, and what goes wrong with one holds no other up. The server serves on whatever happens here.

mod challenges;
mod http;
mod storage;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::{Mutex, Semaphore};
use wharf_app::app::{AcmeOptions, Challenge};

use super::Shared;
use super::certificate::{self, Certificate, Fault};

pub(super) use challenges::{Challenges, is_asked};
pub(super) use storage::Storage;

/// Orders that are under way at a time; further names wait. Authorities limit how often they are asked.
const ORDERS_MAX: usize = 4;

/// An order that takes longer has failed.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);

/// How long an authority may look at an answer, and how long it may take to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));

/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// No clock is trusted for longer: machines sleep, and clocks are set.
const NAP: Duration = Duration::from_secs(15 * 60);

/// How often an authority that knows when to renew is asked again (RFC 9773 section 4.3.2), within what it wishes.
const ASK_AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(24 * 60 * 60);

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Authority(#[from] Error),
    #[error("the authority offers no challenge of the type {0}")]
    NotOffered(&'static str),
    #[error("the authority did not find the answer to its challenge {0}: {1}")]
    NotProved(&'static str, String),
    #[error("the authority did not answer in time")]
    TimedOut,
    #[error("the authority gave out what is no certificate: {0}")]
    Useless(String),
    #[error("{0}")]
    NotKept(#[from] certificate::CertificateError),
}

/// Keeps the certificates of `options` until it is dropped.
pub(super) async fn keep(shared: Arc<Shared>, options: AcmeOptions, storage: Storage) {
    let keeper = Keeper {
        client: http::Client::new(&options, shared.provider.clone()),
        shared,
        storage,
        account: Mutex::new(None),
        orders: Semaphore::new(ORDERS_MAX),
        options,
    };
    let names = keeper.options.hosts.iter();
    futures_util::future::join_all(names.map(|name| keeper.keep(name))).await;
}

struct Keeper {
    shared: Arc<Shared>,
    options: AcmeOptions,
    storage: Storage,
    client: http::Client,
    account: Mutex<Option<Account>>,
    orders: Semaphore,
}

impl Keeper {
    /// Keeps the certificate of one name; never ends.
    async fn keep(&self, name: &str) {
        let mut current = self.shared.issued(name);
        let mut failures: u32 = 0;
        loop {
            if let Some(certificate) = &current {
                self.until_due(certificate).await;
            }
            let challenge = self.options.challenges[failures as usize % self.options.challenges.len()];
            let placed = self.orders.acquire().await;
            // It may have been asked too often for another name.
            tokio::time::sleep(self.client.wish().unwrap_or_default()).await;
            // The one before is named once: an authority that does not take it is asked without.
            let replaces = current.as_deref().filter(|_| failures == 0);
            let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.order(name, challenge, replaces)).await;
            drop(placed);
            match ordered.unwrap_or(Err(Failure::TimedOut)) {
                Ok(certificate) => {
                    self.shared.metrics.ordered(true);
                    let days = days_left(&certificate);
                    tracing::info!(name, days, "has a certificate from the authority");
                    let certificate = Arc::new(certificate);
                    self.shared.issue(name, certificate.clone());
                    current = Some(certificate);
                    failures = 0;
                }
                Err(failure) => {
                    self.shared.metrics.ordered(false);
                    let wait = self.wait(failures);
                    failures = failures.saturating_add(1);
                    let (error, seconds) = (failure.to_string(), wait.as_secs());
                    let days = current.as_deref().map(days_left);
                    tracing::error!(
                        name,
                        days,
                        retry_seconds = seconds,
                        "no certificate from the authority: {error}"
                    );
                    self.forget_account_if_unknown(&failure).await;
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// How long to wait after so many failures before: threefold each time, spread a little, and as long as the authority asks.
    fn wait(&self, failures: u32) -> Duration {
        let backoff = self.options.retry_after.saturating_mul(3_u32.saturating_pow(failures));
        let backoff = backoff.min(RETRY_MAX).mul_f64(1.0 + 0.1 * random());
        backoff.max(self.client.wish().unwrap_or_default())
    }

    /// Waits until it is time to renew `certificate`.
    async fn until_due(&self, certificate: &Certificate) {
        // The same for as long as it is waited for.
        let (fraction, spread) = (2.0 / 3.0 - 0.03 * random(), random());
        let lifetime = certificate.not_after.duration_since(certificate.not_before);
        let mut due = certificate.not_before + lifetime.unwrap_or_default().mul_f64(fraction);
        let mut ask = SystemTime::now();
        loop {
            let now = SystemTime::now();
            if now >= ask {
                let (wished, again) = self.wished(certificate, spread).await;
                due = wished.unwrap_or(due);
                ask = now + again;
            }
            let Ok(left) = due.duration_since(now) else { return };
            let until_ask = ask.duration_since(now).unwrap_or_default();
            tokio::time::sleep(left.min(until_ask).min(NAP)).await;
        }
    }

    /// When the authority wants it to be renewed, if it says so (RFC 9773), and when to ask again.
    async fn wished(&self, certificate: &Certificate, spread: f64) -> (Option<SystemTime>, Duration) {
        let never = *ASK_AGAIN.end();
        let Some(id) = identifier(certificate) else {
            return (None, never);
        };
        let Ok(account) = self.account().await else {
            return (None, never);
        };
        match account.renewal_info(&id).await {
            Ok((info, again)) => {
                let (start, end) = (info.suggested_window.start, info.suggested_window.end);
                let (start, end) = (SystemTime::from(start), SystemTime::from(end));
                let window = end.duration_since(start).unwrap_or_default();
                let again = again.clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end());
                (Some(start + window.mul_f64(spread)), again)
            }
            Err(error) => {
                tracing::debug!(%error, "the authority does not say when to renew");
                (None, never)
            }
        }
    }

    /// Orders a certificate for `name`, and keeps it.
    async fn order(
        &self,
        name: &str,
        challenge: Challenge,
        replaces: Option<&Certificate>,
    ) -> Result<Certificate, Failure> {
        let account = self.account().await?;
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = NewOrder::new(&identifiers);
        if let Some(id) = replaces.and_then(identifier) {
            let knows = account.renewal_info(&id).await.is_ok();
            order = if knows { order.replaces(id) } else { order };
        }
        let mut order = account.new_order(&order).await?;
        self.prove(name, challenge, &mut order).await?;
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        let certificate = self.taken(name, &chain, &key)?;
        let (storage, owned) = (self.storage.clone(), name.to_owned());
        let kept = tokio::task::spawn_blocking(move || storage.keep_certificate(&owned, &chain, &key)).await;
        kept.map_err(|error| Failure::Useless(error.to_string()))??;
        Ok(certificate)
    }

    /// Shows the authority that `name` leads here.
    async fn prove(&self, name: &str, challenge: Challenge, order: &mut Order) -> Result<(), Failure> {
        let kind = match challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // It was proved not long ago.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let offered = authorization.challenge(kind.clone());
            let mut offered = offered.ok_or(Failure::NotOffered(challenge.name()))?;
            let answer = offered.key_authorization();
            let challenges = self.shared.challenges.clone();
            answers.push(match challenge {
                Challenge::Http01 => challenges.answer_http(&offered.token, answer.as_str()),
                Challenge::TlsAlpn01 => challenges
                    .answer_tls(name, answer.digest().as_ref(), &self.shared.provider)
                    .map_err(Failure::Useless)?,
            });
            offered.set_ready().await?;
        }
        let proved = order.poll_ready(&PATIENCE).await;
        // The authority has asked, or will not.
        drop(answers);
        match proved {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) | Err(Error::Api(_)) => Err(Failure::NotProved(challenge.name(), self.reason(order).await)),
            Err(error) => Err(error.into()),
        }
    }

    /// What the authority says was wrong.
    async fn reason(&self, order: &mut Order) -> String {
        let mut reasons = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_ok() {
                let errors = authorization
                    .challenges
                    .iter()
                    .filter_map(|challenge| challenge.error.as_ref());
                reasons.extend(errors.map(ToString::to_string));
            }
        }
        match reasons.is_empty() {
            true => "it does not say why".to_owned(),
            false => reasons.join("; "),
        }
    }

    fn taken(&self, name: &str, chain: &str, key: &str) -> Result<Certificate, Failure> {
        let chain = certificate::chain(chain.as_bytes());
        let chain = chain.map_err(|fault| Failure::Useless(fault.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
        let key = key.map_err(|error| Failure::Useless(error.to_string()))?;
        let certificate = Certificate::new(self.options.directory.clone(), chain, key, &self.shared.provider)
            .map_err(|unfit| Failure::Useless(unfit.to_string()))?;
        match certificate.names.iter().any(|own| own == name) {
            true => Ok(certificate),
            false => Err(Failure::Useless("it is for another name".to_owned())),
        }
    }

    /// The account with the authority, which is opened where there is none yet.
    async fn account(&self) -> Result<Account, Failure> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = match self.storage.account()? {
            Some(credentials) => builder.from_credentials(credentials).await?,
            None => {
                let contact: Vec<&str> = self.options.contact.iter().map(String::as_str).collect();
                let wanted = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let opened = builder.create(&wanted, self.options.directory.clone(), None).await;
                let (account, credentials) = opened?;
                self.storage.keep_account(&credentials)?;
                tracing::info!(
                    directory = self.options.directory,
                    "opened an account with the authority"
                );
                account
            }
        };
        *known = Some(account.clone());
        Ok(account)
    }

    /// An authority that has forgotten the account gets another one the next time.
    async fn forget_account_if_unknown(&self, failure: &Failure) {
        let Failure::Authority(Error::Api(problem)) = failure else {
            return;
        };
        if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist") {
            *self.account.lock().await = None;
            self.storage.forget_account();
        }
    }
}

/// What an authority calls a certificate (RFC 9773 section 4.1).
fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(certificate.key.cert.first()?).ok()
}

fn days_left(certificate: &Certificate) -> u64 {
    let left = certificate.not_after.duration_since(SystemTime::now());
    left.unwrap_or_default().as_secs() / (24 * 60 * 60)
}

/// From 0 to 1. What must not be guessed is made elsewhere; this only keeps servers from doing the same at the same time.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

/// The certificates that are kept already, by name. Those that cannot be read are ordered anew.
pub(super) fn kept(
    options: &AcmeOptions,
    storage: &Storage,
    provider: &rustls::crypto::CryptoProvider,
) -> Vec<(String, Certificate)> {
    let mut kept = Vec::new();
    for name in &options.hosts {
        match storage.certificate(name, provider) {
            Ok(certificate) if certificate.names.contains(name) => kept.push((name.clone(), certificate)),
            Ok(_) => {}
            Err(error) if matches!(&error.fault, Fault::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound) =>
                {}
            Err(error) => tracing::warn!(name, %error, "a certificate that was kept cannot be used: ordering it anew"),
        }
    }
    kept
}
