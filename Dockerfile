# One image for all process types: its command names a line of the Procfile (web, worker, ai, …). compose.yaml runs it.
FROM python:3.13-slim AS packages
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt ./
COPY bin/requirements-dashboard.txt bin/requirements-s3.txt bin/post_compile bin/
RUN pip install --only-binary :all: --require-hashes -r requirements.txt && bin/post_compile

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=packages /venv /venv
WORKDIR /app
COPY Procfile schema.sql ./
COPY bin bin
COPY scripts scripts
COPY shared shared
COPY web web
COPY workers workers
# The containers write nothing, so what is not compiled here would be compiled anew at each start and each health check. That goes
# for Python's own library too: the base image ships it uncompiled.
RUN python -m compileall -q . /usr/local/lib/python3.*
# Nobody's number: it owns nothing here but the folder for files, and nothing is written but to that, /tmp and /dev/shm.
RUN install -d -m 700 -o 10001 -g 10001 /media
ENV MEDIA_FOLDER=/media
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["bin/run"]
CMD ["web"]
