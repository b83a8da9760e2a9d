import { readFileSync } from 'node:fs';

/** The ports of the replicas on each side of a split. */
export interface Sides {
  a: number[];
  b: number[];
}

/** Where a peer takes encrypted connections, and the folder with its certificate (`Callers.certify`). */
export interface Secure {
  port: number;
  folder: string;
}

/** Percent of the requests that go to side b. */
export const SHARE = 10;

/** Files that a process may have open at most. */
export function openFiles(): number {
  const line = /Max open files\s+\S+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'));
  return Math.min(Number(line?.[1] ?? 1024), 20_000);
}

/** Two groups, each by least connections, chosen by chance; nothing is buffered. */
export function nginx(folder: string, port: number, { a, b }: Sides, secure?: Secure): string {
  const encrypted = secure
    ? `listen 127.0.0.1:${secure.port} ssl http2 backlog=4096;
    ssl_certificate ${secure.folder}/certificate.pem;
    ssl_certificate_key ${secure.folder}/key.pem;`
    : '';
  const group = (name: string, ports: number[]) =>
    `upstream ${name} {
    least_conn;
    ${ports.map((each) => `server 127.0.0.1:${each};`).join(' ')}
    keepalive 256;
    keepalive_requests 100000000;
  }`;
  return `daemon off;
worker_processes 1;
worker_rlimit_nofile ${openFiles()};
pid ${folder}/pid;
error_log stderr error;
events { worker_connections 12000; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_timeout 1h;
  keepalive_requests 100000000;
  ${group('side_a', a)}
  ${group('side_b', b)}
  split_clients $request_id $side {
    ${SHARE}% side_b;
    * side_a;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    ${encrypted}
    location / {
      proxy_pass http://$side;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off;
      proxy_request_buffering off;
    }
  }
}
`;
}

/** One group, in turns, by weight. */
export function haproxy(port: number, { a, b }: Sides, secure?: Secure): string {
  const encrypted = secure
    ? `bind 127.0.0.1:${secure.port} backlog 4096 ssl crt ${secure.folder}/both.pem alpn h2,http/1.1`
    : '';
  const weighed = (name: string, ports: number[], percent: number) =>
    ports.map((each, n) => `  server ${name}${n} 127.0.0.1:${each} weight ${Math.round(percent / ports.length)}`);
  return `global
  nbthread 1
  maxconn ${Math.min(12_000, Math.floor(openFiles() / 2) - 100)}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 5m
  timeout http-keep-alive 1h
  option forwardfor
  # Otherwise it keeps small pieces of a stream back until more come.
  option http-no-delay
  http-reuse always
frontend callers
  bind 127.0.0.1:${port} backlog 4096
  ${encrypted}
  default_backend replicas
backend replicas
  balance roundrobin
${[...weighed('a', a, 100 - SHARE), ...weighed('b', b, SHARE)].join('\n')}
`;
}
