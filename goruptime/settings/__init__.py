"""Django settings, one module for every environment. Values that differ between deployments are read through `env`."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from apps.core.embedded.folder import DataFolder, FolderError
from apps.net.address_policy import AddressPolicy
from goruptime.settings.env import STATEMENT_TIMEOUT_S as STATEMENT_TIMEOUT_S
from goruptime.settings.env import database, email, env

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# --- database, broker, cache: the embedded servers of the data folder, unless others are configured

DATA_FOLDER = DataFolder(Path(env.text("GORUPTIME_DATA_DIR", str(BASE_DIR / "data"))))
DATABASE_URL = env.secret("DATABASE_URL")
REDIS_URL = env.secret("REDIS_URL")

IS_EMBEDDED = not DATABASE_URL
DATABASES = {"default": database(DATABASE_URL or DATA_FOLDER.database_url)}
BROKER_URL = env.secret("GORUPTIME_BROKER_URL") or REDIS_URL or DATA_FOLDER.broker_url
REGION_BROKER_URL = env.secret("GORUPTIME_REGION_BROKER_URL") or BROKER_URL
CACHES = {
    "default": {
        "BACKEND": "apps.core.cache.PrefixedCache",
        "LOCATION": REDIS_URL or DATA_FOLDER.cache_url,
        "KEY_PREFIX": "goruptime",
        # Probe workers may have access to the server: values read from it must not be executable, as pickle is.
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1, "serializer": "apps.core.cache.JsonSerializer"},
    }
}

# --- secrets: configured, or generated once in the data folder of a local run

SECRET_KEY = env.secret("GORUPTIME_SECRET_KEY")
ENCRYPTION_KEYS = [key for key in env.secret("GORUPTIME_ENCRYPTION_KEYS").split(",") if key]
if not SECRET_KEY or not ENCRYPTION_KEYS:
    if not IS_EMBEDDED:
        raise ImproperlyConfigured(
            "With DATABASE_URL set, GORUPTIME_SECRET_KEY and GORUPTIME_ENCRYPTION_KEYS must be set too: see .env.example."
        )
    try:
        _kept = DATA_FOLDER.keys()
    except (FolderError, OSError) as _error:
        raise ImproperlyConfigured(str(_error)) from _error
    SECRET_KEY = SECRET_KEY or _kept.secret_key
    ENCRYPTION_KEYS = ENCRYPTION_KEYS or _kept.encryption_key.split(",")

# --- the web

DEBUG = env.flag("GORUPTIME_DEBUG", False)
PORT = env.whole("GORUPTIME_PORT", 8000)
LOCAL_PROBES = env.whole("GORUPTIME_LOCAL_PROBES", 1)
LAYOUT = env.choice("GORUPTIME_LAYOUT", "compact", ("compact", "separate"))
"""Whether `manage.py up` runs beat and the workers of the core's queues in one process, or each in its own."""
WEB_THREADS = env.whole("GORUPTIME_WEB_THREADS", 8)
PUBLIC_URL = env.text("GORUPTIME_PUBLIC_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
_IS_TLS = PUBLIC_URL.startswith("https://")
_HOST = re.sub(r":\d+$", "", urlsplit(PUBLIC_URL).netloc)
ALLOWED_HOSTS = env.items("GORUPTIME_ALLOWED_HOSTS", f"127.0.0.1,localhost,[::1],{_HOST}")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
ROOT_URLCONF = "goruptime.urls"
WSGI_APPLICATION = "goruptime.wsgi.application"
FAST_HANDLERS = ["apps.ingress.ping_handler.pings", "goruptime.wsgi.public_answers"]
"""Handlers that the web server calls before Django, in this order."""
WEB_COMPANIONS = ["apps.ingress.core_liveness.watch_ping_path"]
"""Functions that the web server calls at its start, with its host and port."""
PROGRAMS = "goruptime.programs"
"""The module that imports what web, workers and beat share."""
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _IS_TLS else None
SECURE_SSL_REDIRECT = _IS_TLS
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # HSTS preloading is the decision of the domain's owner
SECURE_HSTS_SECONDS = 31_536_000 if _IS_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _IS_TLS
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = _IS_TLS
SESSION_COOKIE_NAME = "goruptime_session"
CSRF_COOKIE_SECURE = _IS_TLS
CSRF_COOKIE_HTTPONLY = False
CSRF_FAILURE_VIEW = "apps.api.error_responses.csrf_failure"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000  # the form of a status page has four for each resource

INSTALLED_APPS = [
    "apps.core.operators.OperatorsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_celery_beat",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "drf_spectacular",
    "anymail",
    "apps.core",
    "apps.orgs",
    "apps.monitors",
    "apps.results",
    "apps.incidents",
    "apps.notifications",
    "apps.statuspages",
    "apps.dashboard",
    "apps.api",
    "apps.ingress",
    "apps.pipeline",
    "apps.demo",
    "apps.operations",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # pads responses randomly against the BREACH attack
    "apps.core.middleware.PolicyHeaders",
    "apps.core.middleware.RequestId",
    "apps.core.middleware.RefuseNul",
    "apps.core.middleware.BodyLimit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static" / "dist"]
STATIC_ROOT = BASE_DIR / "static" / "collected"
ASSETS = BASE_DIR / "static" / "dist"
"""The output of `make assets`."""
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "apps.core.static_storage.AssetStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ["map", "png", "woff2", "gz", "br", "ico", "txt", "md"]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
PASSWORD_RESET_TIMEOUT = 3_600

AUTH_USER_MODEL = "orgs.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
SESSION_COOKIE_AGE = 30 * 86_400
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

# --- what probes and webhooks may reach

PRIVATE_TARGETS = env.choice("GORUPTIME_PRIVATE_TARGETS", "allowed" if IS_EMBEDDED else "refused", ("allowed", "refused"))
ALLOWED_NETWORKS = env.text("GORUPTIME_ALLOWED_NETWORKS")
DENIED_NETWORKS = env.text("GORUPTIME_DENIED_NETWORKS")
try:
    ADDRESS_POLICY = AddressPolicy.parse(private=PRIVATE_TARGETS == "allowed", allow=ALLOWED_NETWORKS, deny=DENIED_NETWORKS)
except ValueError as _error:
    raise ImproperlyConfigured(f"GORUPTIME_ALLOWED_NETWORKS or GORUPTIME_DENIED_NETWORKS: {_error}") from _error
CA_FILE = env.text("GORUPTIME_CA_FILE")
PROBE_CONCURRENCY = env.whole("GORUPTIME_PROBE_CONCURRENCY", 5_000)
PROBE_PER_HOST = env.whole("GORUPTIME_PROBE_PER_HOST", 100)
CANARIES = env.text("GORUPTIME_CANARIES")
MAX_RETRIES = env.whole("GORUPTIME_MAX_RETRIES", 3)

# --- retention

EXPORT_DIR = Path(path) if (path := env.text("GORUPTIME_EXPORT_DIR")) else None
"""Folder into which runs are exported before retention deletes them; by default there is no export."""

# --- mail

_EMAIL = email(env.secret("GORUPTIME_EMAIL_URL") or "console:")
EMAIL_BACKEND = _EMAIL["EMAIL_BACKEND"]
EMAIL_HOST = _EMAIL.get("EMAIL_HOST", "localhost")
EMAIL_PORT = _EMAIL.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _EMAIL.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _EMAIL.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _EMAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _EMAIL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 15
ANYMAIL = _EMAIL.get("ANYMAIL", {})
MAILS_PER_MINUTE = env.whole("GORUPTIME_MAILS_PER_MINUTE", 60)
"""Limit of one project; further e-mails are delayed."""
DEFAULT_FROM_EMAIL = env.text("GORUPTIME_EMAIL_FROM", "GoUpTime <goruptime@localhost>")

# --- monitoring of the installation itself

env.port("GORUPTIME_HEALTH_PORT")
METRICS_TOKEN = env.secret("GORUPTIME_METRICS_TOKEN")
"""Bearer token for the web server's `/metrics`, which is closed if no token is set."""

# --- API

PROXIES = env.whole("GORUPTIME_PROXIES", 0)  # number of trusted proxies that append to X-Forwarded-For
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.api.authentication.ApiKeyAuthentication",
        "apps.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.api.permissions.RoleAllows"],
    "DEFAULT_THROTTLE_CLASSES": ["apps.api.throttling.CallerThrottle"],
    "NUM_PROXIES": PROXIES,
    "DEFAULT_THROTTLE_RATES": {
        "caller": env.text("GORUPTIME_API_RATE", "6000/min"),
    },
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.api.parsing.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "apps.api.schema.Schema",
    "EXCEPTION_HANDLER": "apps.api.error_responses.handle",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "GoUpTime API",
    "VERSION": "1",
    "DESCRIPTION": "Uptime monitoring: checks, incidents, channels.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "apps.api.kinds_schema.describe_kinds"],
}

# --- logging: one line per record, to standard output

LOG_LEVEL = env.choice("GORUPTIME_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "filters": {"outage": {"()": "apps.core.logs.OneLineOutage"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line", "filters": ["outage"]}
    },
    "root": {"handlers": ["out"], "level": LOG_LEVEL},
    "loggers": {
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "_granian": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
