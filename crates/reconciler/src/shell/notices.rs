//! Kubernetes Events (events.k8s.io), only of trouble and its end. Equal ones become a series; a namespace that makes
//! trouble without end is heard now and then.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{HostPort, HostPortClaim};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use parking_lot::Mutex;

use crate::action::{Notice, Subject};

/// Events of one namespace and reason at once; later ones only as time passes.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_secs(30);

/// Tells people.
#[derive(Clone)]
pub(super) struct Notices {
    recorder: Recorder,
    budgets: Arc<Mutex<Budgets>>,
}

/// By namespace and reason.
type Budgets = HashMap<(Arc<str>, &'static str), Budget>;

struct Budget {
    left: u32,
    since: Instant,
}

impl Notices {
    pub(super) fn new(client: Client) -> Self {
        let reporter =
            Reporter { controller: "hostport".to_owned(), instance: std::env::var("POD_NAME").ok() };
        Self { recorder: Recorder::new(client, reporter), budgets: Arc::default() }
    }

    pub(super) async fn tell(&self, notice: Notice) {
        if !self.may_tell(&notice) {
            return;
        }
        let mut note = notice.note;
        let cut = (0..=note.len().min(1000)).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        note.truncate(cut);
        let event = Event {
            type_: if notice.warns { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_owned(),
            note: Some(note),
            action: "Binding".to_owned(),
            secondary: None,
        };
        let subject = subject(notice.subject);
        match tokio::time::timeout(Duration::from_secs(10), self.recorder.publish(&event, &subject)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "event not written"),
            Err(_) => tracing::debug!("event not written in time"),
        }
    }

    fn may_tell(&self, notice: &Notice) -> bool {
        let namespace = match &notice.subject {
            Subject::Claim { key, .. } => key.namespace.clone(),
            Subject::HostPort { .. } => "".into(),
        };
        let mut budgets = self.budgets.lock();
        let now = Instant::now();
        budgets.retain(|_, budget| {
            budget.left < BURST && now - budget.since < REFILL * BURST || budget.since == now
        });
        let budget = budgets.entry((namespace, notice.reason)).or_insert(Budget { left: BURST, since: now });
        let refill = (now - budget.since).as_secs() / REFILL.as_secs();
        if refill > 0 {
            budget.left = BURST.min(budget.left + u32::try_from(refill).unwrap_or(BURST));
            budget.since = now;
        }
        let may = budget.left > 0;
        budget.left = budget.left.saturating_sub(1);
        may
    }
}

fn subject(subject: Subject) -> ObjectReference {
    match subject {
        Subject::Claim { key, uid } => ObjectReference {
            api_version: Some(HostPortClaim::api_version(&()).into_owned()),
            kind: Some(HostPortClaim::kind(&()).into_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        },
        Subject::HostPort { spot, uid } => ObjectReference {
            api_version: Some(HostPort::api_version(&()).into_owned()),
            kind: Some(HostPort::kind(&()).into_owned()),
            name: Some(spot.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        },
    }
}
