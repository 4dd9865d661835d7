//! The watches. Each ends within 30 seconds and is begun anew, so that a dead connection is noticed.

use std::fmt::Debug;

use crds::HostPortClass;
use futures::StreamExt;
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, task::JoinSet};

use super::slim::{SlimHostPort, SlimHostPortClaim, SlimNamespace, SlimPod, SlimResourceQuota, SlimService};
use crate::seen::{Change, Event, Pod, Quota};

/// Pods whose containers may run: the API server leaves the others out.
pub(super) const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// The watches, and where they tell what they see.
pub(super) struct Watches {
    pub(super) client: Client,
    pub(super) events: mpsc::Sender<Event>,
}

impl Watches {
    pub(super) fn spawn(self, tasks: &mut JoinSet<anyhow::Result<()>>) {
        let all = watcher::Config::default().timeout(24);
        let client = &self.client;
        self.watch::<SlimHostPortClaim>(tasks, Api::all(client.clone()), all.clone(), |change| {
            Some(Event::Claim(parse(change)?))
        });
        self.watch::<SlimHostPort>(tasks, Api::all(client.clone()), all.clone(), |change| {
            Some(Event::HostPort(parse(change)?))
        });
        self.watch::<HostPortClass>(tasks, Api::all(client.clone()), all.clone(), |change| {
            Some(Event::Class(parse(change)?))
        });
        self.watch::<SlimService>(tasks, Api::all(client.clone()), all.clone(), |change| {
            Some(Event::Service(parse(change)?))
        });
        self.watch::<SlimNamespace>(tasks, Api::all(client.clone()), all.clone(), |change| {
            Some(Event::Namespace(parse(change)?))
        });
        self.watch::<SlimResourceQuota>(
            tasks,
            Api::all(client.clone()),
            all.clone(),
            |change| match parse::<_, Quota>(change)? {
                Change::Listed(quota) if quota.limits.is_empty() => None,
                change => Some(Event::Quota(change)),
            },
        );
        self.watch::<SlimPod>(tasks, Api::all(client.clone()), all.fields(LIVE), |change| {
            match parse::<_, Pod>(change)? {
                // A pod's ports never change: one without host ports never matters.
                Change::Listed(pod) | Change::Applied(pod) | Change::Deleted(pod) if pod.ports.is_empty() => {
                    None
                }
                change => Some(Event::Pod(change)),
            }
        });
    }

    fn watch<K>(
        &self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        api: Api<K>,
        config: watcher::Config,
        translate: impl Fn(watcher::Event<K>) -> Option<Event> + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let events = self.events.clone();
        tasks.spawn(async move {
            let mut stream = watcher(api, config).default_backoff().boxed();
            while let Some(change) = stream.next().await {
                let event = match change {
                    Ok(change) => translate(change),
                    Err(error) => {
                        tracing::warn!(kind = %K::kind(&()), %error, "watch failed, it is begun anew");
                        None
                    }
                };
                if let Some(event) = event
                    && events.send(event).await.is_err()
                {
                    break; // Nobody listens any more: shutdown.
                }
            }
            Ok(())
        });
    }
}

/// Translates the object of a change; one that makes no sense is left out.
fn parse<K, T>(change: watcher::Event<K>) -> Option<Change<T>>
where
    K: Resource<DynamicType = ()> + TryInto<T, Error: std::fmt::Display>,
{
    let object = |object: K| {
        let name = object.name_any();
        let parsed = object.try_into();
        parsed
            .inspect_err(|error| tracing::error!(kind = %K::kind(&()), name, %error, "object left out"))
            .ok()
    };
    Some(match change {
        watcher::Event::Init => Change::Listing,
        watcher::Event::InitApply(listed) => Change::Listed(object(listed)?),
        watcher::Event::InitDone => Change::ListDone,
        watcher::Event::Apply(applied) => Change::Applied(object(applied)?),
        watcher::Event::Delete(deleted) => Change::Deleted(object(deleted)?),
    })
}
