/* The page of `bench report --format html`. BENCH (data.js) holds every word and number; nothing is fetched.

   All text of BENCH may come from strangers. It reaches the document by text nodes and attributes only, and plotly,
   which reads tags in labels, through `esc`. */
(() => {
  'use strict';

  // ---- elements and numbers ------------------------------------------------------------------------------------------

  const SVG = 'http://www.w3.org/2000/svg';

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? '' : String(value));
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /** Read a number of the data: null is none, infinities come as text. */
  const num = (value) => (value === null || value === undefined ? NaN : value === 'inf' ? Infinity : value === '-inf' ? -Infinity : value);

  /** Say a number in three digits, as the tables do. */
  function show(value) {
    if (Number.isNaN(value)) return '–';
    if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞';
    const size = Math.abs(value);
    if (value !== 0 && (size < 1e-3 || size >= 1e4)) return value.toExponential(2).replace(/e([+-])(\d)$/, 'e$10$2');
    return value.toFixed(value === 0 ? 2 : Math.max(0, 2 - Math.floor(Math.log10(size))));
  }
  const count = (value) => value.toLocaleString('en').replace(/,/g, '\u202f');
  const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;
  const unique = (values) => [...new Set(values)];
  const range = (n) => Array.from({ length: n }, (_, i) => i);

  /** Keep plotly from reading tags, entities and mathematics in a text. */
  const esc = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/\$/g, '&#36;');
  const short = (text, size) => (text.length > size ? `${text.slice(0, size - 1)}…` : text);

  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  const say = (text) => { document.getElementById('live').textContent = text; };

  // ---- tooltip: what hovering shows, focus shows, too ------------------------------------------------------------------

  const tip = document.getElementById('tip');

  function explain(node, text) {
    const place = () => {
      const box = node.getBoundingClientRect();
      const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
      const above = box.top - tip.offsetHeight - 6;
      tip.style.left = `${left}px`;
      tip.style.top = `${above > 4 ? above : box.bottom + 6}px`;
    };
    const open = () => {
      tip.textContent = text();
      tip.hidden = false;
      node.setAttribute('aria-describedby', 'tip');
      addEventListener('scroll', place, { capture: true, passive: true });
      place();
    };
    const close = () => {
      tip.hidden = true;
      node.removeAttribute('aria-describedby');
      removeEventListener('scroll', place, { capture: true });
    };
    node.addEventListener('pointerenter', open);
    node.addEventListener('focus', open);
    node.addEventListener('pointerleave', close);
    node.addEventListener('blur', close);
    node.addEventListener('keydown', (event) => { if (event.key === 'Escape') close(); });
    return node;
  }

  function copyable(command, about) {
    const code = el('code', { tabindex: 0 }, command);
    const button = el('button', { type: 'button', class: 'copy', 'aria-label': `Copy the command: ${about}` }, 'Copy');
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(command);
      } catch {
        getSelection().selectAllChildren(code);
        document.execCommand('copy');
      }
      button.textContent = 'Copied';
      say('Copied');
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
    return el('span', { class: 'command' }, code, button);
  }

  // ---- the look of labels ----------------------------------------------------------------------------------------------

  const dark = matchMedia('(prefers-color-scheme: dark)');
  let printing = false;
  const theme = () => (dark.matches && !printing ? 'dark' : 'light');
  const PAPER = {
    light: { ink: '#1b1d1f', muted: '#565d65', rule: '#e3e5e6', axis: '#8b9198', page: '#ffffff', open: '#ffffff' },
    dark: { ink: '#e7e9eb', muted: '#a9b0b8', rule: '#2c3238', axis: '#7d858d', page: '#1b1f23', open: '#1b1f23' },
  };
  const colorOf = (label) => (theme() === 'dark' ? label.dark : label.color);
  const tint = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(',')},${alpha})`;

  const DASHES = { solid: '', dash: '6 3', dashdot: '6 2.5 1.5 2.5', longdash: '10 3', dot: '1.5 2.5' };
  const SHAPES = {
    circle: 'M14 6m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0',
    square: 'M11 3h6v6h-6z',
    diamond: 'M14 2l4 4-4 4-4-4z',
    'triangle-up': 'M14 2l4 7h-8z',
    'triangle-down': 'M14 10l4-7h-8z',
    'triangle-left': 'M10 6l7-4v8z',
    cross: 'M12.6 2.2h2.8v2.4h2.4v2.8h-2.4v2.4h-2.8V7.4h-2.4V4.6h2.4z',
    x: 'M11.4 2L14 4.6 16.6 2 18 3.4 15.4 6 18 8.6 16.6 10 14 7.4 11.4 10 10 8.6 12.6 6 10 3.4z',
  };
  function swatch(label) {
    return svg('svg', { class: 'swatch', viewBox: '0 0 28 12', width: 28, height: 12, 'aria-hidden': 'true', style: `--light:${label.color};--dark:${label.dark}` },
      svg('path', { d: 'M0 6h28', class: 'line', 'stroke-dasharray': DASHES[label.dash] }),
      svg('path', { d: SHAPES[label.symbol], class: 'mark' }));
  }

  // ---- small interval bars ---------------------------------------------------------------------------------------------

  const BAR = 108;

  /** Return a scale for intervals: value -> pixels, with the ends that its heading shows. */
  function scaleOf(values, options) {
    const finite = values.filter(Number.isFinite);
    let [low, high] = options.fixed || [Math.min(...finite), Math.max(...finite)];
    if (!finite.length && !options.fixed) [low, high] = [0, 1];
    const log = Boolean(options.log) && low > 0 && high > low;
    if (options.zero) { const far = Math.max(Math.abs(low), Math.abs(high)) || 1; [low, high] = [-far, far]; }
    if (high === low) { low -= 0.5; high += 0.5; }
    const to = log ? Math.log : (value) => value;
    const at = (value) => {
      if (log && value <= 0) return 4;
      return 4 + Math.min(1, Math.max(0, (to(value) - to(low)) / (to(high) - to(low)))) * (BAR - 8);
    };
    return { at, low, high, log };
  }

  function bar(estimate, low, high, scale, text, options) {
    const y = 8;
    const left = scale.at(low);
    const right = scale.at(high);
    const parts = [];
    if (options.zero) parts.push(svg('path', { d: `M${scale.at(0)} 0V16`, class: 'zero' }));
    parts.push(svg('path', { d: `M4 ${y}H${BAR - 4}`, class: 'rail' }));
    if (!Number.isNaN(low) && !Number.isNaN(high)) {
      parts.push(svg('path', { d: `M${left} ${y}H${Math.max(right, left + 0.5)}`, class: 'reach' }));
      for (const [at, end] of [[left, low], [right, high]]) {
        const sign = at === left ? 3 : -3;
        parts.push(svg('path', { d: Number.isFinite(end) ? `M${at} ${y - 3}v6` : `M${at + sign} ${y - 3}L${at} ${y}l${sign} 3`, class: 'end' }));
      }
    }
    if (Number.isFinite(estimate)) parts.push(svg('circle', { cx: scale.at(estimate), cy: y, r: options.strong ? 3.6 : 2.8, class: 'dot' }));
    const drawn = svg('svg', { viewBox: `0 0 ${BAR} 16`, width: BAR, height: 16, 'aria-hidden': 'true' }, parts);
    return explain(el('span', { class: options.strong ? 'bar strong' : 'bar', tabindex: 0, role: 'img', 'aria-label': text() }, drawn), text);
  }

  // ---- tables that sort ------------------------------------------------------------------------------------------------

  const missing = (key) => key === null || key === undefined || Number.isNaN(key);
  function compare(a, b) {
    const [x, y] = [num(a), num(b)];
    return typeof x === 'number' && typeof y === 'number' ? (x < y ? -1 : x > y ? 1 : 0) : String(a).localeCompare(String(b), 'en', { numeric: true });
  }

  /** Make a table whose headings are buttons that sort: up, down, and back to the order that it came in.

      columns: [{title, help, numeric, head}]; rows(): [{keys, cells(first): [td], more()}]. */
  function sortable(caption, columns, rows, options) {
    const state = { by: -1, down: false };
    const heads = columns.map((column, at) => {
      const button = el('button', { type: 'button', title: column.help || null }, column.title, el('span', { class: 'arrow', 'aria-hidden': 'true' }));
      button.addEventListener('click', () => {
        if (state.by !== at) Object.assign(state, { by: at, down: false });
        else if (!state.down) state.down = true;
        else Object.assign(state, { by: -1, down: false });
        say(state.by < 0 ? 'In the order of the suite' : `Sorted by ${column.title}, ${state.down ? 'descending' : 'ascending'}`);
        update();
      });
      return el('th', { scope: 'col', class: column.numeric ? 'numeric' : null, 'aria-sort': 'none' }, button, column.head || null);
    });
    const body = el('tbody');
    const table = el('table', {}, el('caption', { class: 'hidden' }, caption), el('thead', {}, el('tr', {}, heads)), body);
    const update = () => {
      const found = rows();
      if (state.by >= 0) {
        found.sort((a, b) => {
          const [left, right] = [a.keys[state.by], b.keys[state.by]];
          return missing(left) || missing(right) ? missing(left) - missing(right) : (state.down ? -1 : 1) * compare(left, right);
        });
      }
      heads.forEach((head, at) => head.setAttribute('aria-sort', at !== state.by ? 'none' : state.down ? 'descending' : 'ascending'));
      let group = null;
      body.replaceChildren(...found.flatMap((row) => {
        const first = row.group !== group;
        group = row.group;
        return row.nodes(first, state.by >= 0);
      }));
      if (!found.length) body.append(el('tr', {}, el('td', { colspan: columns.length, class: 'empty' }, options.empty || 'No row fits the filters.')));
      return found.length;
    };
    const scroll = el('div', { class: options.tall ? 'scroll tall' : 'scroll', role: 'region', 'aria-label': caption, tabindex: 0 }, table);
    return { node: scroll, update };
  }

  // ---- words beside symbols ------------------------------------------------------------------------------------------

  const VERDICTS = { best: '★', 'not separated': '≈', separated: '▽', control: '◇' };
  const DIFFERENCES = { rate: 'differences of rates with Tango score', mean: 'mean differences with Student\'s t', skewed: 'median differences with order-statistic' };
  const VERDICT_CLASS = { best: 'best', 'not separated': 'near', separated: 'far', control: 'control' };

  function verdict(text) {
    if (!text) return el('span', { class: 'muted' }, '–');
    return el('span', { class: `verdict ${VERDICT_CLASS[text] || ''}` }, el('span', { class: 'symbol', 'aria-hidden': 'true' }, VERDICTS[text] || '·'), text);
  }

  // ---- plotly: loaded after the tables, drawn where one looks -----------------------------------------------------------

  let loading = null;
  function plotly() {
    loading = loading || new Promise((resolve, reject) => {
      const script = el('script', { src: 'plotly.min.js' });
      script.addEventListener('load', () => resolve(window.Plotly));
      script.addEventListener('error', () => reject(new Error('plotly.min.js is not beside this page')));
      document.head.append(script);
    });
    return loading;
  }

  const plots = [];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { const plot = plots.find((each) => each.box === entry.target); plot.near = true; plot.draw(); }
  }, { rootMargin: '300px' });

  function layoutOf(extra, labels) {
    const paper = PAPER[theme()];
    const axis = { gridcolor: paper.rule, linecolor: paper.axis, tickcolor: paper.axis, zeroline: false, showline: true, ticks: 'outside', ticklen: 4, automargin: true, title: { standoff: 8 } };
    const { xaxis, yaxis, ...rest } = extra;
    return {
      height: 330 + 19 * Math.ceil(Math.min(labels, 12) / 3),
      margin: { l: 58, r: 14, t: 6, b: 44 },
      paper_bgcolor: 'rgba(0,0,0,0)',
      plot_bgcolor: 'rgba(0,0,0,0)',
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: paper.ink },
      legend: { orientation: 'h', x: 0, xanchor: 'left', y: 1.02, yanchor: 'bottom', font: { size: 11.5 }, itemwidth: 36, bgcolor: 'rgba(0,0,0,0)' },
      hovermode: 'closest',
      hoverlabel: { bgcolor: paper.page, bordercolor: paper.axis, align: 'left', font: { color: paper.ink, size: 12 }, namelength: -1 },
      dragmode: matchMedia('(pointer: coarse)').matches ? false : 'zoom',
      xaxis: { ...axis, ...xaxis },
      yaxis: { ...axis, ...yaxis },
      ...rest,
    };
  }
  /** A logarithmic axis with readable ticks: powers of ten, with 2 and 5 between them where there is room. */
  function logAxis(values) {
    const positive = values.filter((value) => Number.isFinite(value) && value > 0);
    if (!positive.length) return { type: 'log' };
    const [low, high] = [Math.floor(Math.log10(Math.min(...positive))) - 1, Math.ceil(Math.log10(Math.max(...positive))) + 1];
    const decades = Math.log10(Math.max(...positive) / Math.min(...positive));
    const step = Math.max(1, Math.round(decades / 5));
    const leading = decades > 2.2 ? [1] : decades > 0.5 || decades < 0.1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
    const only = Math.log10(positive[0]);
    const around = decades < 0.1 ? { range: [only - 0.5, only + 0.5] } : {};
    const powers = range(high - low + 1).map((k) => low + k);
    const at = (lead, power) => Number(`${lead}e${power}`);
    const tickvals = powers.filter((power) => power % step === 0).flatMap((power) => leading.map((lead) => at(lead, power)));
    const minor = powers.flatMap((power) => (step > 1 ? [at(1, power)] : [2, 3, 4, 5, 6, 7, 8, 9].map((lead) => at(lead, power))));
    const plain = (value) => (value >= 1e6 || value < 1e-4 ? value.toExponential(0).replace('e+', 'e').replace('e-', 'e−') : String(value));
    return { type: 'log', ...around, tickvals, ticktext: tickvals.map(plain), minor: { tickvals: minor, ticks: 'outside', ticklen: 2.5, tickcolor: PAPER[theme()].axis, showgrid: false } };
  }

  /** A figure: title, controls, a place to draw, a caption. make() returns {traces, layout, labels} or {missing}. */
  function figure(title, caption, controls, make, name) {
    const box = el('div', { class: 'plot', role: 'img' });
    const note = el('p', { class: 'missing', hidden: true });
    const under = el('figcaption');
    const named = typeof title === 'function' ? title : () => title;
    const heading = el('h4', {}, named());
    const node = el('figure', { class: 'card' }, heading, controls.length ? el('div', { class: 'controls' }, controls) : null, box, note, under);
    const plot = { box, near: false, drawn: false };
    const render = (Plotly) => {
      const made = make();
      heading.textContent = named();
      box.setAttribute('aria-label', `${named()}. The numbers are in the tables of this page.`);
      note.hidden = !made.missing;
      box.hidden = Boolean(made.missing);
      under.textContent = typeof caption === 'function' ? caption() : caption;
      if (made.missing) { note.textContent = made.missing; return null; }
      const layout = layoutOf(made.layout, made.labels || 0);
      if (printing) Object.assign(layout, { width: 640, height: 320 });
      const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d', 'zoomIn2d', 'zoomOut2d', 'pan2d'], toImageButtonOptions: { format: 'svg', filename: name } };
      plot.drawn = true;
      return Plotly.react(box, made.traces, layout, config);
    };
    plot.draw = () => {
      if (window.Plotly) return render(window.Plotly);
      return plotly().then(render, (error) => { note.textContent = `Not drawn: ${error.message}.`; note.hidden = false; });
    };
    plot.update = () => { heading.textContent = named(); if (plot.near) plot.draw(); };
    plots.push(plot);
    seen.observe(box);
    return { node, update: plot.update };
  }

  function choice(name, options, change) {
    const select = el('select', {}, options.map((text, at) => el('option', { value: at }, text)));
    select.addEventListener('change', () => change(Number(select.value)));
    return { node: el('label', { class: 'field' }, el('span', {}, name), select), select };
  }

  const BREAK = '<br>';  // ours; every other piece of a hover text goes through esc
  const hover = (...lines) => lines.filter(Boolean).map(esc).join(BREAK);

  // ---- one suite -------------------------------------------------------------------------------------------------------

  function suite(s, at) {
    const id = `s${at}`;
    const state = { metric: Math.max(0, s.metrics.findIndex((metric) => metric.name === s.metric)), group: -1, hidden: new Set(), controls: true, text: '' };
    const metric = () => s.metrics[state.metric];
    const shown = (label) => !state.hidden.has(label) && (state.controls || !s.labels[label].control);
    const over = (about) => (about.over ? ` ${about.over}` : '');
    const rowsOf = (name) => s.rows.filter((row) => row.metric === name);
    const updates = [];
    const update = () => { for (const each of updates) each(); };
    const sections = [];
    const section = (key, title, ...children) => {
      sections.push([`${id}-${key}`, title]);
      return el('section', { id: `${id}-${key}`, 'aria-labelledby': `${id}-${key}-h`, tabindex: -1 }, el('h3', { id: `${id}-${key}-h` }, title), children);
    };

    // ---- heading

    const cells = new Map();
    for (const row of s.rows) cells.set(`${row.group} ${row.label}`, row);
    const stored = [...cells.values()];
    const trials = stored.reduce((sum, row) => sum + row.n, 0);
    const failed = stored.reduce((sum, row) => sum + row.failed, 0);
    const borrowed = stored.reduce((sum, row) => sum + (row.reference ? row.n : 0), 0);
    const fact = (name, value) => (value ? el('div', {}, el('dt', {}, name), el('dd', {}, value)) : null);
    const constants = el('dd');
    const head = el('header', { class: 'head' },
      el('h2', { id: `${id}-h` }, s.title || s.name),
      s.source ? el('p', { class: 'source' }, s.source) : null,
      el('dl', { class: 'facts' },
        fact('suite', s.name), fact('run', s.run),
        fact('size', `${plural(s.groups.length, 'problem cell')}, ${plural(s.labels.length, 'label')}, ${plural(trials, 'trial')}`),
        fact('reference', borrowed ? `${plural(borrowed, 'trial')}, not run here` : ''),
        fact('failed', failed ? plural(failed, 'trial') : 'none'),
        fact('compute', s.seconds),
        el('div', { class: 'wide' }, el('dt', {}, 'constant'), constants)));
    updates.push(() => { constants.textContent = metric().constants || '–'; });

    // ---- controls that the tables and the plots share

    const tools = el('div', { class: 'tools', role: 'group', 'aria-label': 'What the tables and the plots show' });
    if (s.metrics.length > 1) {
      const group = el('fieldset', { class: 'switch' }, el('legend', {}, 'metric'));
      s.metrics.forEach((each, index) => {
        const input = el('input', { type: 'radio', name: `${id}-metric`, value: index, checked: index === state.metric });
        input.addEventListener('change', () => { state.metric = index; update(); say(`Metric ${each.name}`); });
        group.append(el('label', {}, input, el('span', {}, each.name)));
      });
      tools.append(group);
    }
    const problems = choice('problem cell', ['all', ...s.groups.map((group) => group.title)], (value) => { state.group = value - 1; table.refresh(); });
    const search = el('input', { type: 'search', placeholder: 'any word', autocomplete: 'off', spellcheck: 'false' });
    search.addEventListener('input', () => { state.text = search.value.toLowerCase(); table.refresh(); });
    const controls = el('input', { type: 'checkbox' });
    controls.addEventListener('change', () => { state.controls = !controls.checked; update(); });
    if (s.groups.length > 1) tools.append(problems.node);
    tools.append(el('label', { class: 'field' }, el('span', {}, 'find'), search));
    if (s.labels.some((label) => label.control)) tools.append(el('label', { class: 'tick' }, controls, 'hide controls'));
    const chips = el('div', { class: 'chips', role: 'group', 'aria-label': 'Labels that are shown' }, s.labels.map((label, index) => {
      const chip = el('button', { type: 'button', class: 'chip', 'aria-pressed': 'true' }, swatch(label), el('span', {}, label.name + label.mark));
      chip.addEventListener('click', () => {
        if (!state.hidden.delete(index)) state.hidden.add(index);
        chip.setAttribute('aria-pressed', String(!state.hidden.has(index)));
        update();
      });
      return chip;
    }));
    tools.append(chips);

    // ---- the comparison table

    const holder = el('div');
    const status = el('p', { class: 'status', 'aria-live': 'polite' });
    const notes = el('ul', { class: 'notes' });
    const open = new Set();
    const built = new Map();
    const table = {
      /** Each metric has a table of its own, built when it is first asked for. */
      refresh() {
        if (!built.has(state.metric)) built.set(state.metric, comparison(state.metric));
        const current = built.get(state.metric);
        if (holder.firstChild !== current.node) holder.replaceChildren(current.node);
        const found = current.update();
        status.textContent = `${found} of ${rowsOf(metric().name).length} rows`;
        notes.replaceChildren(...metric().notes.map((note) => el('li', {}, note)));
      },
    };
    updates.push(table.refresh);

    function comparison(which) {
      const about = s.metrics[which];
      const rows = rowsOf(about.name);
      const limits = rows.flatMap((row) => [num(row.low), num(row.high), num(row.estimate)]);
      const scale = scaleOf(limits, about.kind === 'rate' ? { fixed: [0, 1] } : { log: about.log });
      const ends = el('span', { class: 'ends', 'aria-hidden': 'true' }, el('span', {}, show(scale.low).replace(/^0\.00$/, '0').replace(/^1\.00$/, '1')), el('span', {}, scale.log ? 'log' : ''), el('span', {}, show(scale.high).replace(/^1\.00$/, '1')));
      const columns = about.columns.map((column) => ({
        title: column.title,
        help: column.help,
        numeric: ['number', 'estimate'].includes(column.kind),
        head: column.kind === 'interval' ? ends : null,
      }));
      const haystack = new Map(rows.map((row) => [row, [s.groups[row.group].title, s.labels[row.label].name, s.labels[row.label].method, row.params, ...row.text, row.skipped || '', ...row.reasons.map(([reason]) => reason)].join(' ').toLowerCase()]));
      const made = new Map();
      const node = (row) => {
        if (!made.has(row)) made.set(row, entry(row, about, scale, columns.length));
        return made.get(row);
      };
      return sortable(`${about.centre} ${about.name}`, columns, () => rows
        .filter((row) => shown(row.label) && (state.group < 0 || row.group === state.group) && (!state.text || haystack.get(row).includes(state.text)))
        .map((row) => ({ keys: row.key, group: row.group, nodes: (first, sorted) => node(row)(first || sorted) })), { tall: rows.length > 45 });
    }

    function entry(row, about, scale, width) {
      const label = s.labels[row.label];
      const exact = () => {
        if (row.skipped) return `${label.name}: skipped, ${row.skipped}`;
        if (!row.n) return `${label.name}: not run`;
        const digits = (value) => (Number.isFinite(num(value)) ? String(Number(num(value).toPrecision(7))) : show(num(value)));
        return `${label.name}, ${s.groups[row.group].title}\n${about.centre} ${about.name} ${digits(row.estimate)}\n95 % interval${over(about)} [${digits(row.low)}, ${digits(row.high)}] (${row.interval})\n${plural(row.n, 'trial')}, ${row.failed} failed`;
      };
      const key = `${id}-r${s.rows.indexOf(row)}`;
      const more = el('button', { type: 'button', class: 'more', 'aria-expanded': String(open.has(row)), 'aria-controls': key }, el('span', { class: 'twist', 'aria-hidden': 'true' }), row.name);
      let details = null;
      const group = el('td', { class: 'problem' }, el('span', {}, s.groups[row.group].title));
      const kinds = about.columns.map((column) => column.kind);
      const cellsOf = kinds.map((kind, index) => {
        const text = row.text[index];
        if (kind === 'problem') return group;
        if (kind === 'label') return el('th', { scope: 'row', class: 'label' }, more);
        if (kind === 'verdict') return el('td', {}, row.skipped ? el('span', { class: 'muted' }, 'skipped') : verdict(text));
        if (kind === 'interval') return el('td', { class: 'interval' }, row.n ? bar(num(row.estimate), num(row.low), num(row.high), scale, exact, { strong: row.verdict === 'best' }) : null);
        return el('td', { class: ['number', 'estimate'].includes(kind) ? `numeric ${kind}` : null }, text);
      });
      const line = el('tr', { class: `${row.verdict === 'best' ? 'is-best' : ''} ${label.control ? 'is-control' : ''}` }, cellsOf);
      const nodes = () => (open.has(row) ? [line, details = details || el('tr', { class: 'detail', id: key }, el('td', { colspan: width }, about_(row)))] : [line]);
      more.addEventListener('click', () => {
        if (!open.delete(row)) open.add(row);
        more.setAttribute('aria-expanded', String(open.has(row)));
        if (open.has(row)) line.after(nodes()[1]);
        else details.remove();
      });
      return (first) => {
        line.classList.toggle('starts', first);
        group.firstChild.classList.toggle('again', !first);
        more.setAttribute('aria-expanded', String(open.has(row)));
        return nodes();
      };
    }

    function about_(row) {
      const label = s.labels[row.label];
      const line = (name, ...value) => el('div', {}, el('dt', {}, name), el('dd', {}, value));
      const several = unique(s.groups.map((group) => group.problem)).length > 1;
      const took = row.seconds.flatMap((spent, k) => (Number.isFinite(num(spent)) ? [`${show(spent)} on ${s.machines[k]}`] : []));
      return el('dl', { class: 'about' },
        line('method', `${label.method}: ${row.params || 'no parameters'}`),
        line('problem', `${s.groups[row.group].problem}: ${s.groups[row.group].params}`),
        row.skipped ? line('skipped', row.skipped) : null,
        row.reference ? line('where from', 'reference results that come with bench, not run here') : null,
        took.length ? line('seconds per trial', took.join('; ')) : null,
        row.budget.length ? line('budget per trial', row.budget.map(([name, spent]) => `${count(spent)} ${name}`).join(', ')) : null,
        row.failures.length ? line('failed', row.failures.map(([kind, n]) => `${n} ${kind}`).join(', ')) : null,
        row.reasons.map(([reason, n, trial]) => line(`${n} ×`, el('span', { class: 'reason' }, reason), trial ? copyable(`bench replay ${trial}`, 'replay a trial that failed so') : null)),
        row.skipped ? null : line('compute it again', copyable(row.run, 'compute this cell'), several ? el('span', { class: 'muted' }, ' Problems without these parameters run, too.') : null),
        row.trial ? line('replay one trial', copyable(`bench replay ${row.trial}`, 'replay a trial of this cell')) : null);
    }

    const main = section('table', 'Comparison', el('div', { class: 'above' }, status), holder, notes);

    // ---- claims

    const claims = s.claims.length ? section('claims', 'Claims', claimsTable(s)) : null;

    // ---- plots

    const gallery = el('div', { class: 'gallery' });
    const notDrawn = [];
    const add = (made) => { gallery.append(made.node); updates.push(made.update); };
    const file = (kind) => `${s.name}-${kind}`;
    const place = (group) => s.groups[group].x;
    const title = () => `${metric().centre} ${metric().name}`;
    const withInterval = (row) => row.text[metric().columns.findIndex((column) => column.kind === 'estimate')];
    const titled = (label, size) => esc(short(s.labels[label].name, size)) + s.labels[label].mark;
    const rowHover = (row) => hover(row.name, s.groups[row.group].title, `${metric().centre} ${metric().name} ${withInterval(row)}`, `${plural(row.n, 'trial')}, ${row.failed} failed`);
    const line = (label, extra) => ({ color: colorOf(s.labels[label]), dash: s.labels[label].dash, width: s.labels[label].control ? 1.3 : 1.9, ...extra });
    const marker = (label, extra) => ({ color: colorOf(s.labels[label]), symbol: s.labels[label].symbol, size: 7.5, ...extra });
    const named = (label) => ({ name: titled(label, 40), legendgroup: `l${label}`, hovertemplate: '%{text}<extra></extra>' });
    const labelsIn = (items) => unique(items.map((item) => item.label)).filter(shown).sort((a, b) => a - b);

    /** Lay low and high of a curve out as a closed polygon, one for every stretch without holes. */
    function band(label, xs, lows, highs, shape) {
      const pieces = [];
      let piece = [];
      xs.forEach((x, i) => {
        if (Number.isFinite(lows[i]) && Number.isFinite(highs[i])) piece.push(i);
        else { if (piece.length) pieces.push(piece); piece = []; }
      });
      if (piece.length) pieces.push(piece);
      return pieces.filter((each) => each.length > 1).map((each) => {
        const back = [...each].reverse();
        return {
          x: [...each.map((i) => xs[i]), ...back.map((i) => xs[i])], y: [...each.map((i) => highs[i]), ...back.map((i) => lows[i])],
          fill: 'toself', fillcolor: tint(colorOf(s.labels[label]), s.labels[label].control || s.labels.length > 8 ? 0.07 : 0.13), line: { width: 0, shape }, mode: 'lines', hoverinfo: 'skip', showlegend: false, legendgroup: `l${label}`,
        };
      });
    }

    /** Values that a logarithmic axis has no place for: said, not drawn. */
    const fits = (row) => !metric().log || num(row.estimate) > 0;
    const offAxis = () => {
      const names = unique(rowsOf(metric().name).filter((row) => row.n && shown(row.label) && num(row.estimate) <= 0).map((row) => s.labels[row.label].name));
      return metric().log && names.length ? ` No place on a logarithmic axis for 0: ${names.join(', ')}.` : '';
    };
    const xs = unique(s.groups.map((group) => group.x).filter((x) => typeof x === 'number')).sort((a, b) => a - b);
    const byX = s.x !== null && xs.length > 1 && s.groups.every((group) => typeof group.x === 'number');
    const rests = unique(s.groups.map((group) => group.rest));
    const logX = byX && xs[0] > 0 && xs[xs.length - 1] / xs[0] >= 5;
    const xAxis = () => ({ title: { text: esc(s.x), standoff: 8 }, type: logX ? 'log' : 'linear', tickvals: xs.length <= 10 ? xs : undefined, ticktext: xs.length <= 10 ? xs.map((x) => String(x)) : undefined });
    const yAxis = (rows) => ({ title: { text: esc(title()), standoff: 8 }, ...(metric().log ? logAxis(rows.flatMap((row) => [num(row.low), num(row.estimate), num(row.high)])) : {}), ...(metric().kind === 'rate' ? { range: [-0.03, 1.03] } : {}) });
    const inGroup = (rest) => range(s.groups.length).filter((group) => s.groups[group].rest === rest);
    const pickRest = (change) => (rests.length > 1 ? [choice('where', rests, change).node] : []);

    {
      let rest = 0;
      const made = figure(() => capital(byX ? `${metric().name} against ${s.x}` : `${metric().name} by problem cell`), () => `Bands and bars: the 95 % intervals of the table, each for one ${byX ? 'point' : 'cell'}.${offAxis()}`, byX ? pickRest((value) => { rest = value; made.update(); }) : [], () => {
        const wanted = byX ? new Set(inGroup(rests[rest])) : null;
        const rows = rowsOf(metric().name).filter((row) => row.n && shown(row.label) && fits(row) && !Number.isNaN(num(row.estimate)) && (!wanted || wanted.has(row.group)));
        if (!rows.length) return { missing: 'Nothing to draw: no shown label has a trial here.' };
        const labels = labelsIn(rows);
        if (byX) {
          const traces = labels.flatMap((label) => {
            const own = rows.filter((row) => row.label === label).sort((a, b) => place(a.group) - place(b.group));
            const x = own.map((row) => place(row.group));
            const finite = (key) => own.map((row) => (metric().log && num(row[key]) <= 0 ? num(row.estimate) / 10 : num(row[key])));
            const bars = own.length === 1 ? errors(own, label) : {};
            return [...band(label, x, finite('low'), finite('high')), { ...named(label), ...bars, x, y: finite('estimate').map((y) => (Number.isFinite(y) ? y : null)), mode: 'lines+markers', line: line(label), marker: marker(label), text: own.map(rowHover) }];
          });
          return { traces, layout: { xaxis: xAxis(), yaxis: yAxis(rows) }, labels: labels.length };
        }
        const groups = unique(rows.map((row) => row.group)).sort((a, b) => a - b);
        const traces = labels.map((label, k) => {
          const own = rows.filter((row) => row.label === label);
          return { ...named(label), x: own.map((row) => groups.indexOf(row.group) + dodge(k, labels.length)), y: own.map((row) => (Number.isFinite(num(row.estimate)) ? num(row.estimate) : null)), mode: 'markers', marker: marker(label), ...errors(own, label), text: own.map(rowHover) };
        });
        return { traces, layout: { xaxis: cellsAxis(groups), yaxis: yAxis(rows) }, labels: labels.length };
      }, file('metric'));
      add(made);
    }

    function dodge(k, n) { return n > 1 ? (k / (n - 1) - 0.5) * Math.min(0.7, 0.14 * n) : 0; }
    function cellsAxis(groups, text) {
      return { tickvals: range(groups.length), ticktext: groups.map((group) => esc(short(text ? text(group) : s.groups[group].title, 34))), range: [-0.6, groups.length - 0.4], showgrid: false };
    }
    function errors(rows, label) {
      const side = (high, low) => rows.map((row) => { const d = num(row[high]) - num(row[low]); return Number.isFinite(d) ? Math.max(0, d) : 0; });
      return { error_y: { type: 'data', color: colorOf(s.labels[label]), symmetric: false, array: side('high', 'estimate'), arrayminus: side('estimate', 'low'), thickness: 1.3, width: 3 } };
    }

    // ---- paired differences

    const rivals = range(s.labels.length).filter((label) => !s.labels[label].control);
    if (s.comparisons.length) {
      let reference = -1;
      let rest = 0;
      const pick = choice('reference', ['best of each cell', ...rivals.map((label) => s.labels[label].name)], (value) => { reference = value ? rivals[value - 1] : -1; made.update(); });
      const made = figure('Paired differences', () => `Each label minus the reference, over the trials that both have. Filled: separated after Holm's adjustment; open: not. ${metric().direction === 'higher' ? 'Below' : 'Above'} zero the reference is better.`,
        [pick.node, ...(byX ? pickRest((value) => { rest = value; made.update(); }) : [])], () => {
          const points = [];
          const wanted = byX ? new Set(inGroup(rests[rest])) : null;
          for (const each of s.comparisons) {
            if (each.metric !== metric().name || (wanted && !wanted.has(each.group))) continue;
            const anchor = reference >= 0 ? reference : (cellsBest.get(`${each.metric} ${each.group}`) ?? -1);
            if (each.a !== anchor && each.b !== anchor) continue;
            const sign = each.b === anchor ? 1 : -1;
            const [d, l, h] = [num(each.difference), num(each.low), num(each.high)];
            points.push({ label: each.b === anchor ? each.a : each.b, anchor, group: each.group, each, estimate: sign * d, low: sign > 0 ? l : -h, high: sign > 0 ? h : -l });
          }
          const drawn = points.filter((point) => shown(point.label) && Number.isFinite(point.estimate));
          if (!drawn.length) return { missing: points.length ? 'Nothing to draw among the shown labels: the differences are infinite, or their labels hidden.' : 'No label shares trials with this reference here.' };
          const groups = unique(drawn.map((point) => point.group)).sort((a, b) => (byX ? place(a) - place(b) : a - b));
          const labels = labelsIn(drawn);
          const traces = labels.map((label, k) => {
            const own = drawn.filter((point) => point.label === label);
            const color = colorOf(s.labels[label]);
            return { ...named(label), x: own.map((point) => groups.indexOf(point.group) + dodge(k, labels.length)), y: own.map((point) => point.estimate), mode: 'markers', ...errors(own, label),
              marker: { ...marker(label, { size: 9 }), color: own.map((point) => (point.each.separated ? color : PAPER[theme()].open)), line: { color, width: 1.8 } },
              text: own.map((point) => hover(`${s.labels[label].name} − ${s.labels[point.anchor].name}`, s.groups[point.group].title, `${show(point.estimate)} [${show(point.low)}, ${show(point.high)}]`, `${plural(point.each.n, 'pair')}, adjusted p ${point.each.p_text[1]}: ${point.each.words}`)) };
          });
          const zero = { type: 'line', xref: 'paper', x0: 0, x1: 1, y0: 0, y1: 0, line: { color: PAPER[theme()].axis, width: 1.2 } };
          return { traces, layout: { shapes: [zero], xaxis: { ...cellsAxis(groups, byX ? (group) => String(place(group)) : null), ...(byX ? { title: { text: esc(s.x), standoff: 8 } } : {}) }, yaxis: { title: { text: esc(`difference in ${metric().name}`), standoff: 8 } } }, labels: labels.length };
        }, file('differences'));
      add(made);
    } else notDrawn.push('Paired differences: no two labels that compete share a trial.');

    const cellsBest = new Map(s.rows.filter((row) => row.verdict === 'best').map((row) => [`${row.metric} ${row.group}`, row.label]));

    /** A select of problem cells; starts with the last, unless told otherwise, which usually has most data. */
    function pickGroup(groups, change, first) {
      const picked = choice('problem cell', groups.map((group) => s.groups[group].title), (value) => change(groups[value]));
      picked.select.value = String(first === undefined ? groups.length - 1 : groups.indexOf(first));
      return groups.length > 1 ? [picked.node] : [];
    }
    const groupsOf = (items) => unique(items.map((item) => item.group)).sort((a, b) => a - b);

    /** The metric itself, or the first that has values, where it is a share of successes. */
    const valued = () => (metric().kind !== 'rate' ? metric() : s.metrics.find((each) => each.kind !== 'rate') || metric());

    // ---- performance profiles

    if (s.profiles.length) {
      const groups = groupsOf(s.profiles);
      let group = groups[groups.length - 1];
      let zeros = false;
      const pick = pickGroup(groups, (value) => { group = value; made.update(); });
      const made = figure('Performance profiles', () => {
        const about = valued();
        return `Share of all attempted trials whose ${about.name} is ${about.direction === 'lower' ? 'at most' : 'at least'} τ, for every τ; bands hold for all τ at once (95 %, per label${over(about)}).${about !== metric() ? ` A ${metric().kind} has no profile of its own.` : ''} ${zeros ? ' τ = 0 stands at the left edge.' : ''} At most ${s.thin.profile} points a label.`;
      }, pick, () => {
        const about = valued();
        const own = s.profiles.filter((each) => each.group === group && each.metric === about.name && shown(each.label));
        if (!own.length) return { missing: 'Nothing to draw: no shown label has a value here.' };
        const all = own.flatMap((each) => each.tau.map(num));
        const positive = all.filter((tau) => tau > 0);
        const log = positive.length > 0 && Math.max(...positive) / Math.min(...positive) >= 8 && all.every((tau) => tau >= 0);
        // On a logarithmic axis zero stands at the left edge; every profile runs from edge to edge.
        const edge = log ? Math.min(...positive) / 1.6 : Math.min(...all);
        const end = log ? Math.max(...positive) * 1.15 : Math.max(...all);
        zeros = log && all.includes(0);
        const lower = about.direction === 'lower';
        const traces = own.flatMap((each) => {
          const [share, low, high] = ['share', 'low', 'high'].map((key) => each[key].map(num));
          const x = each.tau.map((tau) => Math.max(edge, num(tau)));
          const n = x.length - 1;
          const text = x.map((_, i) => hover(s.labels[each.label].name, `τ = ${show(num(each.tau[i]))}`, `share ${share[i].toFixed(3)} [${low[i].toFixed(3)}, ${high[i].toFixed(3)}]`, plural(each.n, 'trial')));
          const wide = (values, before, after) => [before, ...values, after];
          const places = lower ? wide(x, x[0], end) : wide(x, edge, x[n]);
          const ys = lower ? wide(share, 0, share[n]) : wide(share, share[0], 0);
          return [...stepBand(each.label, lower ? [...x, end] : [edge, ...x], lower ? [...low, low[n]] : [low[0], ...low], lower ? [...high, high[n]] : [high[0], ...high], !lower),
            { ...named(each.label), x: places, y: ys, mode: 'lines', line: line(each.label, { shape: lower ? 'hv' : 'vh' }), text: wide(text, text[0], text[n]) }];
        });
        return { traces, layout: { xaxis: { ...(log ? logAxis(all) : {}), title: { text: esc(`τ (${about.name})`), standoff: 8 } }, yaxis: { range: [-0.02, 1.02], title: { text: 'share of trials', standoff: 8 } } }, labels: own.length };
      }, file('profiles'));
      add(made);
    } else notDrawn.push('Performance profiles: no metric of this suite has values to compare, a share of successes has none.');

    /** A band of steps: both edges hold their value up to the next place, or down to the one before. */
    function stepBand(label, places, lows, highs, down) {
      const last = places.length - 1;
      const x = places.flatMap((value, i) => (i < last ? [value, places[i + 1]] : [value]));
      const held = (values) => values.flatMap((value, i) => (i === last ? [value] : down ? [values[i + 1], values[i + 1]] : [value, value]));
      return band(label, x, held(lows), held(highs));
    }

    // ---- error along the way

    if (s.paths.length) {
      const groups = groupsOf(s.paths);
      let group = groups[groups.length - 1];
      let axis = 'steps';
      const pick = pickGroup(groups, (value) => { group = value; made.update(); });
      const axes = ['gradient steps', 'generated samples'];
      const by = choice('against', axes, (value) => { axis = value ? 'samples' : 'steps'; made.update(); });
      const made = figure('Error along the way', () => `Median over trials and band from the lower to the upper quartile; failed trials count as infinitely bad, and what is infinite is not drawn. At most ${s.thin.path} places a label.${axis === 'samples' ? ' Generated samples: steps × samples per step of the trial; labels that generate none are left out.' : ''}`,
        [by.node, ...pick], () => {
          const own = s.paths.filter((each) => each.group === group && shown(each.label) && each[axis]);
          if (!own.length) return { missing: axis === 'samples' ? 'Nothing to draw: no shown label generates samples here.' : 'Nothing to draw: no shown label recorded its error on the way here.' };
          const all = own.flatMap((each) => each[axis].x);
          const errors_ = own.flatMap((each) => each[axis].middle.map(num)).filter(Number.isFinite);
          const positive = errors_.every((value) => value > 0);
          const wide = Math.max(...all) / Math.max(1, Math.min(...all.filter((value) => value > 0))) > 30;
          const traces = own.flatMap((each) => {
            const curve = each[axis];
            const from = wide ? curve.x.findIndex((value) => value > 0) : 0;
            const cut = (key) => curve[key].slice(from).map(num);
            const [x, low, middle, high] = ['x', 'low', 'middle', 'high'].map(cut);
            return [...band(each.label, x, low, high), { ...named(each.label), x, y: middle.map((value) => (Number.isFinite(value) ? value : null)), mode: 'lines+markers', line: line(each.label), marker: marker(each.label, { size: 6, maxdisplayed: 8 }), text: x.map((value, i) => hover(s.labels[each.label].name, `${count(value)} ${axes[axis === 'steps' ? 0 : 1]}`, `median error ${show(middle[i])}, quartiles ${show(low[i])} to ${show(high[i])}`, plural(each.n, 'trial'))) }];
          });
          return { traces, layout: { xaxis: { ...(wide ? logAxis(all) : {}), title: { text: axes[axis === 'steps' ? 0 : 1], standoff: 8 } }, yaxis: { ...(positive ? logAxis(errors_) : {}), title: { text: 'median error', standoff: 8 } } }, labels: own.length };
        }, file('paths'));
      add(made);
    } else notDrawn.push('Error along the way: no method of this suite recorded its error while it ran.');

    // ---- time against quality

    // What different machines took is not compared: the plot is of one machine, with the labels that were timed on it.
    const timed = (machine) => s.rows.filter((row) => num(row.seconds[machine]) > 0 && Number.isFinite(num(row.estimate)));
    const clocks = range(s.machines.length).filter((machine) => timed(machine).length);
    if (clocks.length) {
      let machine = clocks[0];
      const groups = groupsOf(clocks.flatMap(timed));
      let group = groupsOf(timed(machine)).pop();
      const pick = pickGroup(groups, (value) => { group = value; made.update(); }, group);
      const where = clocks.length > 1 ? [choice('machine', clocks.map((each) => s.machines[each]), (value) => { machine = clocks[value]; made.update(); }).node] : [];
      const caption = () => `Line: labels that no other label beats in both (Pareto front, of the shown ones, without controls). Seconds are wall time per trial of a batch, on ${s.machines[machine]}${where.length ? '; only labels that were timed there, their values over all trials' : ''}.${offAxis()}`;
      const made = figure('Time against quality', caption, [...where, ...pick], () => {
        const own = timed(machine).filter((row) => row.metric === metric().name && row.group === group && shown(row.label) && fits(row));
        if (!own.length) return { missing: 'Nothing to draw: no shown label has a time and a value here.' };
        const time = (row) => row.seconds[machine];
        const sign = metric().direction === 'higher' ? -1 : 1;
        let best = Infinity;
        const front = own.filter((row) => !s.labels[row.label].control).sort((a, b) => time(a) - time(b) || sign * (a.estimate - b.estimate)).filter((row) => { const better = sign * row.estimate < best; if (better) best = sign * row.estimate; return better; });
        const last = Math.max(...own.map(time));
        const traces = [{ x: [...front.map(time), last], y: [...front.map((row) => row.estimate), ...front.slice(-1).map((row) => row.estimate)], mode: 'lines', line: { color: PAPER[theme()].axis, width: 1.4, dash: 'solid', shape: 'hv' }, hoverinfo: 'skip', name: 'Pareto front' },
          ...own.map((row) => ({ ...named(row.label), x: [time(row)], y: [row.estimate], mode: 'markers', marker: marker(row.label, { size: 9.5 }), ...errors([row], row.label), text: [hover(row.name, `${show(time(row))} s per trial`, `${title()} ${withInterval(row)}`, `${plural(row.n, 'trial')}, ${row.failed} failed`)] }))];
        return { traces, layout: { xaxis: { ...logAxis(own.map(time)), title: { text: 'seconds per trial', standoff: 8 } }, yaxis: yAxis(own) }, labels: own.length + 1 };
      }, file('time'));
      add(made);
    } else notDrawn.push('Time against quality: no trial has a time.');

    // ---- single trials, where they are few

    if (s.dots.length) {
      const groups = groupsOf(s.dots);
      let group = groups[groups.length - 1];
      const pick = pickGroup(groups, (value) => { group = value; made.update(); });
      const made = figure('Single trials', () => `Every trial of the cells that have at most ${s.thin.few}; a failed one has no value and is counted beside its label.`, pick, () => {
        const own = s.dots.filter((each) => each.group === group && each.metric === valued().name && shown(each.label));
        if (!own.length) return { missing: `Nothing to draw: every shown label has more than ${s.thin.few} trials here.` };
        const values = own.flatMap((each) => each.trials.map(([, , , value]) => num(value))).filter(Number.isFinite);
        const traces = own.map((each, k) => {
          const fine = each.trials.filter(([, , , value]) => Number.isFinite(num(value)));
          return { ...named(each.label), showlegend: false, y: fine.map((_, i) => k + 0.34 * (((i * 7) % 11) / 10 - 0.5)), x: fine.map(([, , , value]) => num(value)), mode: 'markers', marker: marker(each.label, { opacity: 0.75 }), text: fine.map(([trial, repeat, , value]) => hover(`${s.labels[each.label].name}, repeat ${repeat}`, `${valued().name} ${show(num(value))}`, `bench replay ${trial}`)) };
        });
        const lost = (each) => each.trials.filter(([, , , value]) => !Number.isFinite(num(value))).length;
        const ticks = own.map((each) => titled(each.label, 28) + (lost(each) ? ` (${lost(each)} failed)` : ''));
        return { traces, layout: { height: 120 + 30 * own.length, xaxis: { ...(valued().log && values.every((value) => value > 0) ? logAxis(values) : {}), title: { text: esc(valued().name), standoff: 8 } }, yaxis: { tickvals: range(own.length), ticktext: ticks, range: [own.length - 0.4, -0.6], showgrid: false } } };
      }, file('trials'));
      add(made);
    } else notDrawn.push(`Single trials: every cell has more than ${s.thin.few}.`);

    // ---- tuning curves

    if (s.tuning.length) {
      let which = 0;
      const pick = choice('label', s.tuning.map((each) => each.label), (value) => { which = value; made.update(); });
      const made = figure('Tuning', () => { const lost = s.tuning[which].tried.filter((one) => !Number.isFinite(num(one.score))).length; return `Every setting that was tried, scored on holdout trials; the line joins the best score of each value. ★ is the chosen setting.${lost ? ` ${plural(lost, 'setting')} without a finite score not drawn.` : ''}`; }, s.tuning.length > 1 ? [pick.node] : [], () => {
        const each = s.tuning[which];
        const label = s.labels.findIndex((known) => known.name === each.label);
        const color = label >= 0 ? colorOf(s.labels[label]) : PAPER[theme()].ink;
        const better = each.direction === 'lower' ? Math.min : Math.max;
        const tried = each.tried.map((one) => ({ ...one, score: num(one.score) }));
        const finite = tried.filter((one) => Number.isFinite(one.score));
        if (!finite.length) return { missing: 'Nothing to draw: no setting has a finite score.' };
        const scores = finite.map((one) => one.score);
        const axes = {};
        const traces = each.grid.flatMap(([name, values], k) => {
          const n = k ? String(k + 1) : '';
          const gap = 0.05;
          const width = (1 - gap * (each.grid.length - 1)) / each.grid.length;
          axes[`xaxis${n}`] = { ...layoutOf({}, 1).xaxis, domain: [k * (width + gap), k * (width + gap) + width], tickvals: range(values.length), ticktext: values.map((value) => esc(short(String(value), 14))), range: [-0.5, values.length - 0.5], title: { text: esc(short(name, 24)), standoff: 8 }, showgrid: false, anchor: 'y' };
          const where = (one) => values.indexOf(one.choice[k]);
          const text = (one) => hover(each.grid.map(([other], i) => `${other} = ${one.choice[i]}`).join(', '), `${each.metric} ${show(one.score)}, ${plural(one.n, 'trial')}, ${one.failed} failed`, one.chosen ? 'chosen' : '');
          const bests = values.map((value, i) => { const own = finite.filter((one) => where(one) === i).map((one) => one.score); return own.length ? better(...own) : null; });
          const chosen = finite.filter((one) => one.chosen);
          const shared = { xaxis: `x${n}`, yaxis: 'y', showlegend: false, hovertemplate: '%{text}<extra></extra>' };
          return [
            { ...shared, x: range(values.length), y: bests, mode: 'lines', line: { color, width: 1.6 }, hoverinfo: 'skip', hovertemplate: undefined },
            { ...shared, x: finite.map(where), y: finite.map((one) => one.score), mode: 'markers', marker: { color: PAPER[theme()].open, line: { color, width: 1.5 }, size: 7.5 }, text: finite.map(text) },
            { ...shared, x: chosen.map(where), y: chosen.map((one) => one.score), mode: 'markers', marker: { color, symbol: 'star', size: 14, line: { color: PAPER[theme()].open, width: 1 } }, text: chosen.map(text) },
          ];
        });
        return { traces, layout: { ...axes, yaxis: { title: { text: esc(`holdout ${each.metric}`), standoff: 8 }, ...(scores.every((score) => score > 0) && Math.max(...scores) / Math.min(...scores) > 8 ? logAxis(scores) : {}) } } };
      }, file('tuning'));
      add(made);
    }

    // ---- failures

    const statuses = unique(stored.flatMap((row) => row.failures.map(([kind]) => kind)));
    if (failed) {
      const PATTERNS = ['/', 'x', '.', '-', '+', '|'];
      const made = figure('How trials ended', 'All trials of the suite by label; every failure counts in the denominator. Reasons stand below.', [], () => {
        const labels = unique(stored.filter((row) => row.n && shown(row.label)).map((row) => row.label)).sort((a, b) => a - b);
        if (!labels.length) return { missing: 'Nothing to draw: no label is shown.' };
        const total = (label, read) => stored.filter((row) => row.label === label).reduce((sum, row) => sum + read(row), 0);
        const kinds = ['ok', ...statuses];
        const paper = PAPER[theme()];
        const fills = theme() === 'dark' ? ['#4a525a', '#FF8A3D', '#DD8FC4', '#E9B23C'] : ['#c9ced3', '#D55E00', '#AA4499', '#B07800'];
        const traces = kinds.map((kind, k) => {
          const x = labels.map((label) => total(label, (row) => (k ? (row.failures.find(([name]) => name === kind) || [0, 0])[1] : row.n - row.failed)));
          return { type: 'bar', orientation: 'h', name: esc(kind), y: range(labels.length), x, marker: { color: fills[k % fills.length], line: { color: paper.page, width: 1 }, pattern: k ? { shape: PATTERNS[(k - 1) % PATTERNS.length], fillmode: 'overlay', fgcolor: paper.page, size: 7, solidity: 0.2 } : {} }, text: x.map((n, i) => hover(s.labels[labels[i]].name, `${count(n)} ${kind} of ${count(total(labels[i], (row) => row.n))}`)), textposition: 'none', hovertemplate: '%{text}<extra></extra>' };
        });
        return { traces, layout: { legend: { ...layoutOf({}, 1).legend, traceorder: 'normal' }, barmode: 'stack', bargap: 0.35, height: 150 + 26 * labels.length, xaxis: { title: { text: 'trials', standoff: 8 } }, yaxis: { tickvals: range(labels.length), ticktext: labels.map((label) => titled(label, 28)), range: [labels.length - 0.4, -0.6], showgrid: false, showline: false, ticks: '' } } };
      }, file('failures'));
      add(made);
    } else notDrawn.push('Failures: no trial failed.');

    const downloads = el('p', { class: 'downloads' }, 'For a paper, as vector graphics 3.3 in wide: ',
      s.metrics.flatMap((each, index) => [index ? '; ' : '', `${each.name} `, el('a', { href: `${each.figure}.svg`, download: true }, 'SVG'), ' ', el('a', { href: `${each.figure}.pdf`, download: true }, 'PDF')]), '.');
    const pictures = section('plots', 'Plots', downloads, gallery, notDrawn.length ? el('details', { class: 'quiet' }, el('summary', {}, `Not drawn (${notDrawn.length})`), el('ul', { class: 'notes' }, notDrawn.map((text) => el('li', {}, text)))) : null);

    // ---- pairs

    const pairs = s.comparisons.length ? section('pairs', 'Pairwise comparisons', pairsTable()) : null;

    function pairsTable() {
      let group = s.comparisons[0].group;
      const groups = groupsOf(s.comparisons);
      const pick = choice('problem cell', [...groups.map((each) => s.groups[each].title), 'all'], (value) => { group = value < groups.length ? groups[value] : -1; refresh(); });
      pick.select.value = '0';
      const holder_ = el('div');
      const about = el('p', { class: 'notes' });
      const refresh = () => {
        const own = s.comparisons.filter((each) => each.metric === metric().name);
        const scale = scaleOf(own.flatMap((each) => [num(each.low), num(each.high)]), { zero: true });
        const ends = el('span', { class: 'ends', 'aria-hidden': 'true' }, el('span', {}, show(scale.low)), el('span', {}, '0'), el('span', {}, show(scale.high)));
        const columns = [['problem'], ['a'], ['b'], ['a − b [95 %]', 1], ['interval', 0, ends], ['p raw', 1], ['p adjusted', 1, null, 'Holm, over all pairs of the table'], ['pairs', 1], ['a better', 1, null, 'n10: trials in which a is better'], ['b better', 1, null, 'n01: trials in which b is better'], ['verdict']]
          .map(([title_, numeric, head_, help]) => ({ title: title_, numeric, head: head_, help }));
        const made = sortable(`Pairwise comparisons under ${metric().name}`, columns, () => own.filter((each) => (group < 0 || each.group === group) && shown(each.a) && shown(each.b)).map((each) => {
          const [a, b] = [each.a, each.b].map((label) => cells.get(`${each.group} ${label}`).name);
          return {
            keys: [each.group, a, b, each.difference, num(each.high) - num(each.low), each.raw, each.p, each.n, each.n10, each.n01, each.separated ? 0 : 1],
            group: each.group,
            nodes: (first, sorted) => [el('tr', { class: first ? 'starts' : null },
              el('td', { class: 'problem' }, el('span', { class: first || sorted ? null : 'again' }, s.groups[each.group].title)), el('th', { scope: 'row', class: 'label' }, a), el('td', {}, b),
              el('td', { class: 'numeric estimate' }, each.text),
              el('td', { class: 'interval' }, bar(num(each.difference), num(each.low), num(each.high), scale, () => `${a} − ${b}\n${each.text}\n${plural(each.n, 'pair')}, p ${each.p_text[0]}, adjusted ${each.p_text[1]}`, { zero: true, strong: each.separated })),
              el('td', { class: 'numeric' }, each.p_text[0]), el('td', { class: 'numeric' }, each.p_text[1]), el('td', { class: 'numeric' }, String(each.n)), el('td', { class: 'numeric' }, String(each.n10)), el('td', { class: 'numeric' }, String(each.n01)),
              el('td', {}, el('span', { class: `verdict ${each.separated ? 'best' : 'near'}` }, el('span', { class: 'symbol', 'aria-hidden': 'true' }, each.separated ? '▲' : '≈'), each.words)))],
          };
        }), { empty: 'No pair of shown labels here.', tall: own.length > 45 });
        holder_.replaceChildren(made.node);
        made.update();
        about.textContent = own.length ? `${capital(metric().test)}; ${DIFFERENCES[metric().kind]} intervals (95 %${over(metric())}). Controls take no part.` : '';
      };
      updates.push(refresh);
      return [groups.length > 1 ? el('div', { class: 'controls' }, pick.node) : null, holder_, about];
    }

    // ---- tuning and reasons, in words

    const words = [['chosen', 'chosen'], ['score', 'score'], ['runner_up', 'runner-up'], ['runner_up_score', 'its score'], ['metric', 'by'], ['grid', 'grid'], ['cost', 'cost'], ['failed', 'failed']];
    const present = words.filter(([key]) => s.tuned.some((each) => each[key]));
    const tuned = s.tuned.length ? section('tuning', 'Tuning', el('div', { class: 'scroll', role: 'region', 'aria-label': 'Tuning', tabindex: 0 }, el('table', { class: 'wrapping' }, el('caption', { class: 'hidden' }, 'How hyper-parameters were chosen'),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'label'), present.map(([, name]) => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, s.tuned.map((each) => el('tr', {}, el('th', { scope: 'row', class: 'label' }, each.label), present.map(([key]) => el('td', { class: key.endsWith('score') ? 'numeric' : null }, each[key]))))))),
      el('p', { class: 'notes' }, 'Settings were scored on holdout trials, none of which is in the comparison.')) : null;

    const why = new Map();
    for (const row of stored) for (const [reason, n, trial] of row.reasons) {
      const key = `${row.name} ${reason}`;
      const known = why.get(key) || { name: row.name, reason, n: 0, trial };
      known.n += n;
      why.set(key, known);
    }
    const reasons = failed ? section('failures', 'Failures', why.size ? el('div', { class: 'scroll', role: 'region', 'aria-label': 'Reasons of failures', tabindex: 0 }, el('table', { class: 'wrapping' }, el('caption', { class: 'hidden' }, 'Why trials failed'),
      el('thead', {}, el('tr', {}, ['label', 'trials', 'reason', 'replay one'].map((name, k) => el('th', { scope: 'col', class: k === 1 ? 'numeric' : null }, name)))),
      el('tbody', {}, [...why.values()].sort((a, b) => b.n - a.n).map((each) => el('tr', {}, el('th', { scope: 'row', class: 'label' }, each.name), el('td', { class: 'numeric' }, count(each.n)), el('td', { class: 'reason' }, each.reason), el('td', {}, each.trial ? copyable(`bench replay ${each.trial}`, 'replay a trial that failed so') : null)))))) : el('p', { class: 'notes' }, `${plural(failed, 'trial')} failed; no reason is stored.`)) : null;

    // ---- where it ran

    const env = s.environments;
    const where = env.names.length ? section('environment', 'Environment', el('details', {}, el('summary', {}, `${plural(env.names.length, 'environment')}: hardware and versions`),
      el('div', { class: 'scroll', role: 'region', 'aria-label': 'Environments', tabindex: 0 }, el('table', { class: 'wrapping' }, el('caption', { class: 'hidden' }, 'What the trials ran on'),
        el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'environment'), env.names.map((name, k) => el('th', { scope: 'col' }, short(name, 12), el('span', { class: 'muted' }, ` ${plural(env.trials[k], 'trial')}`))))),
        el('tbody', {}, env.facts.map(([name, values]) => el('tr', {}, el('th', { scope: 'row' }, name), unique(values).length === 1 && values.length > 1 ? el('td', { colspan: values.length }, values[0]) : values.map((value) => el('td', {}, value))))))),
      env.others ? el('p', { class: 'notes' }, `${plural(env.others, 'further environment')} of this run computed no trial of the tables.`) : null)) : null;

    update();
    const node = el('article', { class: 'suite', id, 'aria-labelledby': `${id}-h`, tabindex: -1 }, head, claims, tools, main, pictures, pairs, tuned, reasons, where);
    const order = [...node.querySelectorAll(':scope > section')].map((each) => each.id);
    sections.sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]));
    return { node, id, sections, trials, failed };
  }

  // ---- claims ----------------------------------------------------------------------------------------------------------

  function claimsTable(s) {
    const ruling = (claim) => el('span', { class: `verdict ${claim.verdict}` }, el('span', { class: 'symbol', 'aria-hidden': 'true' }, claim.symbol), claim.said);
    const item = (claim) => {
      const evidence = claim.pieces.map((part) => el('tr', {}, el('td', {}, ruling(part)), el('td', { class: 'text' }, part.text, part.where ? el('span', { class: 'muted' }, ` (${part.where})`) : null), el('td', { class: 'numeric' }, part.measured), el('td', { class: 'numeric' }, part.n ? `n ${count(part.n)}` : '')));
      return el('li', { class: `claim ${claim.verdict}` },
        el('div', { class: 'ruling' }, ruling(claim)),
        el('div', {},
          el('p', { class: 'statement' }, claim.text || claim.id, claim.source ? el('span', { class: 'muted' }, ` ${claim.source}`) : null),
          el('p', { class: 'found' }, claim.explanation),
          claim.hint ? el('p', { class: 'found muted' }, claim.hint) : null,
          el('dl', { class: 'numbers' },
            claim.published ? el('div', {}, el('dt', {}, 'published'), el('dd', {}, claim.published)) : null,
            claim.measured ? el('div', {}, el('dt', {}, claim.computed ? 'computed' : 'measured'), el('dd', {}, claim.measured)) : null,
            claim.n ? el('div', {}, el('dt', {}, 'n'), el('dd', {}, count(claim.n))) : null,
            el('div', {}, el('dt', {}, claim.family), el('dd', {}, claim.decisive ? claim.id : `${claim.id}, does not decide`))),
          evidence.length ? el('details', {}, el('summary', {}, `${plural(evidence.length, 'part')}`), el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Parts of ${claim.id}` }, el('table', { class: 'wrapping' }, el('tbody', {}, evidence)))) : null,
          claim.readings.length ? el('details', {}, el('summary', {}, plural(claim.readings.length, 'reading')), el('ol', { class: 'claims' }, claim.readings.map(item))) : null));
    };
    return [el('p', { class: 'tally' }, s.tally), el('ol', { class: 'claims' }, s.claims.map(item)), el('p', { class: 'notes' }, s.guarantee)];
  }

  // ---- the page --------------------------------------------------------------------------------------------------------

  const main = document.getElementById('main');
  const contents = document.getElementById('contents');
  const made = BENCH.suites.map(suite);
  document.title = BENCH.suites.length === 1 ? BENCH.suites[0].title || BENCH.suites[0].name : `${BENCH.suites.length} suites, benchmark report`;

  if (made.length > 1) {
    const claimed = BENCH.suites.some((s) => s.claims.length);
    main.append(el('section', { class: 'overview', 'aria-label': 'Suites' }, el('div', { class: 'scroll', role: 'region', 'aria-label': 'Suites', tabindex: 0 }, el('table', {}, el('caption', { class: 'hidden' }, 'Suites'),
      el('thead', {}, el('tr', {}, ['suite', 'problem cells', 'labels', 'trials', 'failed', ...(claimed ? ['claims'] : [])].map((name, k) => el('th', { scope: 'col', class: k && name !== 'claims' ? 'numeric' : null }, name)))),
      el('tbody', {}, BENCH.suites.map((s, k) => el('tr', {}, el('th', { scope: 'row', class: 'label' }, el('a', { href: `#${made[k].id}` }, s.title || s.name)),
        [s.groups.length, s.labels.length, made[k].trials, made[k].failed].map((n) => el('td', { class: 'numeric' }, count(n))),
        claimed ? el('td', {}, s.tally || '–') : null)))))));
  }
  made.forEach((each) => main.append(each.node));
  contents.append(el('ul', {}, made.map((each, k) => el('li', {}, el('a', { href: `#${each.id}`, class: 'name' }, BENCH.suites[k].name), el('ul', {}, each.sections.map(([id, title]) => el('li', {}, el('a', { href: `#${id}` }, title))))))));
  document.getElementById('foot').append(`Made by bench ${BENCH.version} from stored trials; opens from the disk and fetches nothing.`);

  const links = new Map([...contents.querySelectorAll('a')].map((link) => [link.hash.slice(1), link]));
  const reading = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) links.get(target.id).setAttribute('aria-current', 'location');
      else links.get(target.id).removeAttribute('aria-current');
    }
  }, { rootMargin: '-15% 0px -85% 0px' });
  for (const id of links.keys()) if (id.includes('-')) reading.observe(document.getElementById(id));

  dark.addEventListener('change', () => plots.forEach((plot) => plot.update()));

  // Paper is white, and nobody scrolls on it: draw everything.
  addEventListener('beforeprint', () => { printing = true; plots.forEach((plot) => plot.draw()); });
  addEventListener('afterprint', () => { printing = false; plots.forEach((plot) => plot.update()); });

  performance.mark('tables');
  const idle = window.requestIdleCallback || ((run) => setTimeout(run, 200));
  addEventListener('load', () => idle(() => {
    plotly().then(() => {
      // One after the other in idle time, so that they are there when someone prints.
      const next = () => { const plot = plots.find((each) => !each.drawn && !each.near); if (plot) { plot.near = true; plot.draw(); idle(next); } else document.documentElement.dataset.plots = 'drawn'; };
      idle(next);
    }, () => {});
  }));
})();
