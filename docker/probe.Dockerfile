# A probe worker: no Django, no database driver. `manage.py region add SLUG` prints its environment.
FROM python:3.12-slim
WORKDIR /app
COPY requirements/probe.txt requirements/probe.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/probe.txt
COPY apps/__init__.py apps/__init__.py
COPY apps/net apps/net
COPY apps/probes apps/probes
USER nobody
CMD ["python", "-m", "apps.probes"]
