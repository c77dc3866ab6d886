package stub

import "math"

// weights say which source positions make a target position, and how much.
type weights struct {
	first []int
	w     [][]float64
}

// resize scales one frame of c channels, by the methods that nodes name.
func resize(f []float32, w, h, c, nw, nh int, method string) []float32 {
	if w < 1 || h < 1 || nw < 1 || nh < 1 {
		panic(raisef("RuntimeError", "Input and output sizes should be greater than 0, but got input (H: %d, W: %d) output (H: %d, W: %d)", h, w, nh, nw))
	}
	room(nw, nh, c)
	if method == "lanczos" {
		return resample(f, lanczosWeights(w, nw), lanczosWeights(h, nh), w, h, c, true)
	}
	if w == nw && h == nh {
		return f
	}
	by := map[string]func(int, int) weights{"nearest-exact": nearestWeights, "area": areaWeights, "bicubic": cubicWeights}[method]
	if by == nil {
		by = linearWeights
	}
	return resample(f, by(w, nw), by(h, nh), w, h, c, false)
}

// resample applies the weights, columns first. whole works on whole levels
// between the passes, as Pillow does.
func resample(f []float32, wx, wy weights, w, h, c int, whole bool) []float32 {
	if whole {
		levels := make([]float32, len(f))
		for i, v := range f {
			levels[i] = float32(level(v))
		}
		f = levels
	}
	nw, nh := len(wx.first), len(wy.first)
	mid := make([]float32, nw*h*c)
	for at := range mid {
		ch, x, y := at%c, at/c%nw, at/c/nw
		sum := 0.0
		for i, k := range wx.w[x] {
			sum += k * float64(f[(y*w+wx.first[x]+i)*c+ch])
		}
		mid[at] = settle(sum, whole)
	}
	out := make([]float32, nw*nh*c)
	for at := range out {
		rest, y := at%(nw*c), at/(nw*c)
		sum := 0.0
		for i, k := range wy.w[y] {
			sum += k * float64(mid[(wy.first[y]+i)*nw*c+rest])
		}
		out[at] = settle(sum, whole)
		if whole {
			out[at] /= 255
		}
	}
	return out
}

func settle(v float64, whole bool) float32 {
	if whole {
		return float32(math.Floor(min(255, max(0, v)) + 0.5))
	}
	return float32(v)
}

func nearestWeights(from, to int) weights {
	var out weights
	for i := range to {
		p := int(math.Floor((float64(i) + 0.5) * float64(from) / float64(to)))
		out.add(min(p, from-1), 1)
	}
	return out
}

func (l *weights) add(first int, w ...float64) {
	l.first = append(l.first, first)
	l.w = append(l.w, w)
}

func linearWeights(from, to int) weights {
	var out weights
	for i := range to {
		p := max(0, (float64(i)+0.5)*float64(from)/float64(to)-0.5)
		lo := min(int(p), from-1)
		f := p - float64(lo)
		if lo+1 >= from {
			out.add(lo, 1)
			continue
		}
		out.add(lo, 1-f, f)
	}
	return out
}

// areaWeights average the source positions that a target position covers.
func areaWeights(from, to int) weights {
	var out weights
	for i := range to {
		lo, hi := i*from/to, ((i+1)*from+to-1)/to
		w := make([]float64, hi-lo)
		for k := range w {
			w[k] = 1 / float64(len(w))
		}
		out.add(lo, w...)
	}
	return out
}

// cubicWeights use the kernel with a = -0.75 over four neighbours, edges
// repeated.
func cubicWeights(from, to int) weights {
	const a = -0.75
	kernel := func(x float64) float64 {
		x = math.Abs(x)
		if x <= 1 {
			return ((a+2)*x-(a+3))*x*x + 1
		}
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	var out weights
	for i := range to {
		p := (float64(i)+0.5)*float64(from)/float64(to) - 0.5
		base := int(math.Floor(p))
		lo := min(max(0, base-1), from-1)
		hi := min(max(0, base+2), from-1)
		w := make([]float64, hi-lo+1)
		for k := base - 1; k <= base+2; k++ {
			w[min(max(0, k), from-1)-lo] += kernel(p - float64(k))
		}
		out.add(lo, w...)
	}
	return out
}

// lanczosWeights use three lobes, widened when the picture shrinks.
func lanczosWeights(from, to int) weights {
	scale := float64(from) / float64(to)
	wide := max(1, scale)
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		x *= math.Pi
		return math.Sin(x) / x
	}
	var out weights
	for i := range to {
		center := (float64(i) + 0.5) * scale
		lo := max(0, int(center-3*wide+0.5))
		hi := min(from, int(center+3*wide+0.5))
		w := make([]float64, hi-lo)
		sum := 0.0
		for k := range w {
			x := (float64(lo+k) + 0.5 - center) / wide
			if x > -3 && x < 3 {
				w[k] = sinc(x) * sinc(x/3)
			}
			sum += w[k]
		}
		for k := range w {
			w[k] /= sum
		}
		out.add(lo, w...)
	}
	return out
}
