from django.urls import path

from apps.api.docs import docs
from apps.api.schema_view import SchemaView
from apps.api.views import channels, checks, deliveries, heartbeats, history, incidents, regions, statuspages, tenants, trials

urlpatterns = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("session/", tenants.Session.as_view(), name="session"),
    path("projects/", tenants.ProjectList.as_view(), name="projects"),
    path("projects/<uuid:pk>/", tenants.ProjectDetail.as_view(), name="project"),
    path("resources/", tenants.ResourceList.as_view(), name="resources"),
    path("resources/<uuid:pk>/", tenants.ResourceDetail.as_view(), name="resource"),
    path("api-keys/", tenants.ApiKeyList.as_view(), name="api-keys"),
    path("api-keys/<uuid:pk>/", tenants.ApiKeyDetail.as_view(), name="api-key"),
    path("checks/", checks.CheckList.as_view(), name="checks"),
    path("checks/due/", heartbeats.DuePreview.as_view(), name="due-preview"),
    path("checks/trial/", trials.CheckTrial.as_view(), name="check-trials"),
    path("checks/trial/<uuid:pk>/", trials.CheckTrialDetail.as_view(), name="check-trial"),
    path("checks/<uuid:pk>/", checks.CheckDetail.as_view(), name="check"),
    path("checks/<uuid:pk>/runs/", history.CheckRuns.as_view(), name="check-runs"),
    path("checks/<uuid:pk>/pings/", heartbeats.CheckPings.as_view(), name="check-pings"),
    path("checks/<uuid:pk>/due/", heartbeats.CheckDue.as_view(), name="check-due"),
    path("checks/<uuid:pk>/uptime/", history.CheckUptime.as_view(), name="check-uptime"),
    path("checks/<uuid:pk>/latency/", history.CheckLatency.as_view(), name="check-latency"),
    path("checks/<uuid:pk>/pause/", checks.CheckPause.as_view(), name="check-pause"),
    path("checks/<uuid:pk>/resume/", checks.CheckResume.as_view(), name="check-resume"),
    path("checks/<uuid:pk>/rotate-ping-url/", checks.CheckRotatePingUrl.as_view(), name="check-rotate-ping-url"),
    path("checks/<uuid:pk>/run/", checks.CheckRunNow.as_view(), name="check-run"),
    path("regions/", regions.RegionList.as_view(), name="regions"),
    path("incidents/", incidents.IncidentList.as_view(), name="incidents"),
    path("incidents/<uuid:pk>/", incidents.IncidentDetail.as_view(), name="incident"),
    path("incidents/<uuid:pk>/ack/", incidents.IncidentAck.as_view(), name="incident-ack"),
    path("incidents/<uuid:pk>/resolve/", incidents.IncidentResolve.as_view(), name="incident-resolve"),
    path("incidents/<uuid:pk>/updates/", incidents.IncidentUpdates.as_view(), name="incident-updates"),
    path("status-pages/", statuspages.StatusPageList.as_view(), name="status-pages"),
    path("status-pages/<uuid:pk>/", statuspages.StatusPageDetail.as_view(), name="status-page"),
    path("channels/", channels.ChannelList.as_view(), name="channels"),
    path("channels/<uuid:pk>/", channels.ChannelDetail.as_view(), name="channel"),
    path("channels/<uuid:pk>/test/", channels.ChannelTest.as_view(), name="channel-test"),
    path("deliveries/", deliveries.DeliveryList.as_view(), name="deliveries"),
    path("deliveries/<uuid:pk>/", deliveries.DeliveryDetail.as_view(), name="delivery"),
]
